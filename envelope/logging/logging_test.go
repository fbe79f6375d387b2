package logging

import (
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope/colors"
	"github.com/divisi-go/divisi/internal/message"
)

func TestFormat(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.Local)
	entry := message.LogEntry{
		App: "app", Version: "v1", Component: "example.com/shop/Cart", Node: "0123456789",
		TimeMicros: at.UnixMicro(), Level: "info", File: "/src/cart.go", Line: 12, Msg: "added",
		Attrs: []string{"user", "u1", "note", "two words", "odd"},
	}
	printed := message.LogEntry{Node: "n", TimeMicros: at.UnixMicro(), Level: "stderr", Msg: "oops"}
	for _, c := range []struct {
		entry *message.LogEntry
		color bool
		want  string
	}{
		{&entry, false, `I0304 05:06:07.000008 01234567 Cart cart.go:12] added user=u1 note="two words"`},
		{&printed, false, "S0304 05:06:07.000008 n] oops"},
		{&printed, true, colors.Cyan + "S0304 05:06:07.000008" + colors.Reset + " n] oops"},
		{
			&message.LogEntry{TimeMicros: at.UnixMicro(), Level: "ERROR", Msg: "a\x1b[2J\u202eb"}, true,
			colors.Red + "E0304 05:06:07.000008" + colors.Reset + ` ] a\x1b[2J\u202eb`,
		},
		{&message.LogEntry{TimeMicros: at.UnixMicro()}, false, "0304 05:06:07.000008 ] "},
	} {
		if got := NewPrettyPrinter(c.color).Format(c.entry); got != c.want {
			t.Errorf("got\n%q, want\n%q", got, c.want)
		}
	}
}
