package telemetry

import (
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/logline"
)

// eventName is that of the log of what happens, as if it were a replica's.
var eventName = strings.TrimSuffix(event.LogFile, ".log")

// LastWords returns why a process of a replica ended that was started at a time, as far as the log
// says: the last error that it logged, or what it printed last, and "" if it has said nothing. Of
// a panic that is the line with the reason.
func LastWords(dir, replica string, started time.Time) string {
	const most = 200
	entries, err := Recent(dir, nil, &Filter{Kind: KindLog}, most)
	if err != nil {
		return "" // one more reason less
	}

	// A process may have said something before anybody could note its start.
	const slack = time.Second
	words, panics := "", false
	for _, e := range entries {
		same := e.Replica == replica || strings.HasPrefix(replica, e.Replica+"@")
		if !same || e.Time.Before(started.Add(-slack)) {
			continue
		}
		switch {
		case strings.HasPrefix(e.Msg, "panic: "), strings.HasPrefix(e.Msg, "fatal error: "):
			words, panics = e.Msg, true
		case e.Level == "error", e.Level == "stderr" && !panics && strings.TrimSpace(e.Msg) != "":
			words, panics = e.Msg, e.Level == "error"
		}
	}

	first, _, _ := strings.Cut(words, "\n")
	return logline.Visible(strings.TrimSpace(first))
}
