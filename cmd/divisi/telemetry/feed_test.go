package telemetry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/logline"
)

// TestFeedRoom: of more than a feed has room for, the oldest lines of who says the most are left out, and how many is said
// where they were.
func TestFeedRoom(t *testing.T) {
	f := NewFeed()
	f.room = 2000
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const many = 100
	f.Add("quiet@/fleet", line(begin, "quiet"))
	for i := range many {
		f.Add("loud@/fleet", line(begin.Add(time.Duration(i)*time.Second), fmt.Sprintf("loud %d", i)))
	}
	f.Told()

	if f.size > f.room {
		t.Errorf("%d bytes wait", f.size)
	}
	var shown []Entry
	if err := Show(t.Context(), t.TempDir(), f, &Query{Tail: -1}, func(e Entry) error {
		shown = append(shown, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(shown) < 5 || shown[0].Msg != "quiet" || shown[len(shown)-1].Msg != "loud 99" {
		t.Fatalf("%d entries: %+v", len(shown), shown)
	}
	gap := shown[1]
	left := many - (len(shown) - 2)
	if !strings.HasPrefix(gap.Msg, fmt.Sprintf("%d lines are left out here", left)) || gap.Level != "warn" || gap.Replica != "loud@/fleet" ||
		!gap.Time.Equal(begin.Add(time.Duration(left-1)*time.Second)) || shown[2].Msg != fmt.Sprintf("loud %d", left) {
		t.Errorf("%d of %d are left out: %+v before %+v", left, many, gap, shown[2])
	}
	if f.size != 0 || f.next("loud@/fleet") != nil || f.next("nobody@/fleet") != nil {
		t.Errorf("%d bytes wait for nobody", f.size)
	}
}

func line(at time.Time, text string) string {
	return strings.TrimSpace(string(logline.Append(nil, &logline.Entry{Time: at, Level: "stdout", Msg: text}, "")))
}
