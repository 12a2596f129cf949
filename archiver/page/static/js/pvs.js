export class PvsView { constructor(host, state, change, rights, plot) { this.host = host; } update() {} }
