// Package notify is how a process tells what supervises it that it is ready, how it is, and that it
// lives: systemd's sd_notify, by datagrams to the socket in NOTIFY_SOCKET.
package notify
