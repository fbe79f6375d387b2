package serve

import (
	"strings"

	"github.com/divisi-go/divisi/internal/notify"
)

// Ready tells the supervisor that the program is ready, as [Run] does: for programs without it. Without
// a supervisor that wants to know, by NOTIFY_SOCKET, it does nothing.
func Ready() error { return notify.Send(notify.Ready) }

// Status tells the supervisor how the program is, in one line for people. Without a supervisor that
// wants to know, it does nothing.
func Status(text string) error {
	return notify.Send("STATUS=" + strings.NewReplacer("\n", " ", "\r", " ").Replace(text))
}
