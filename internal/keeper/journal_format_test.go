//go:build linux || darwin

package keeper

import (
	"strings"
	"testing"
	"time"
)

// TestJournalFormat keeps the lines of the journal, which programs and later versions read.
func TestJournalFormat(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b strings.Builder
	for _, r := range []record{
		{Name: "cart-0", Pid: 7, Event: eventStarted, Time: at},
		{Name: "cart-0", Pid: 7, Event: eventExited, Code: 1, How: howWait, Time: at},
		{Name: "cart-0", Pid: 8, Event: eventExited, Code: -1, Signal: "killed", How: howWait, Time: at},
		{Name: "cart-0", Pid: 9, Event: eventExited, Code: -1, How: howUnknown, Time: at},
	} {
		b.Write(r.line())
	}

	want := `{"name":"cart-0","pid":7,"event":"started","code":0,"time":"2026-01-02T03:04:05Z"}
{"name":"cart-0","pid":7,"event":"exited","code":1,"how":"wait","time":"2026-01-02T03:04:05Z"}
{"name":"cart-0","pid":8,"event":"exited","code":-1,"signal":"killed","how":"wait","time":"2026-01-02T03:04:05Z"}
{"name":"cart-0","pid":9,"event":"exited","code":-1,"how":"unknown","time":"2026-01-02T03:04:05Z"}
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
