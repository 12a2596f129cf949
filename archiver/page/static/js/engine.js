export class EngineView { constructor(host, state, banner) { this.host = host; } update() {} }
