"""What alarms do by themselves: mails, PVs, allowed commands, webhooks."""
