//go:build linux || darwin

package keeper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestJournalSurvives(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		k := open(t, dir)
		run(t, k, "a", fmt.Sprintf("exit %d", i))
		exits, err := k.Exits()
		if err != nil || len(exits) != i+1 {
			t.Fatalf("exits %+v, %v", exits, err)
		}
		for n, r := range exits {
			if r.Name != "a" || r.Pid == 0 || r.Exit.Code != n || r.Exit.How != howWait || r.Exit.Time.IsZero() {
				t.Errorf("record %d: %+v", n, r)
			}
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeJournal writes lines such as "+a1" for the start of a as process 1 and "-a1" for its end.
func writeJournal(t *testing.T, path string, words ...string) {
	t.Helper()
	var data []byte
	for _, word := range words {
		event := map[byte]string{'+': eventStarted, '-': eventExited}[word[0]]
		pid, err := strconv.Atoi(word[2:])
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, record{Name: word[1:2], Pid: pid, Event: event, How: howWait}.line()...)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUnfinished(t *testing.T) {
	for script, want := range map[string]string{
		"":                    "",
		"+a1 -a1":             "",
		"+a1":                 "a1",
		"+a1 -a1 +a2":         "a2",
		"+a1 +b2 -b2":         "a1",
		"+a1 +a2 -a2":         "a1",
		"+a1 +b2 +c3 -a1 -c3": "b2",
		"-a1 +a1":             "a1",
		"+a1 +a1":             "a1",
		"-a1 +b2 +c3":         "b2 c3",
	} {
		path := filepath.Join(t.TempDir(), "j")
		writeJournal(t, path, strings.Fields(script)...)
		for range 2 { // the second time, nothing is unfinished
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range unfinished(data) {
				got = append(got, fmt.Sprintf("%s%d", r.Name, r.Pid))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%q: %q, not %q", script, got, want)
			}
			f, err := openJournal(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.close(); err != nil {
				t.Fatal(err)
			}
			want = ""
		}
	}
}

// TestLongJournal opens one that has grown over its bound, and ends in half a line.
func TestLongJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	var words []string
	for i := range 8_000 {
		words = append(words, fmt.Sprintf("+r%d", i), fmt.Sprintf("-r%d", i))
	}
	writeJournal(t, path, append([]string{"+o7"}, words...)...)
	full, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(full, `{"name":"cut`)
	full.Close()
	f, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > maxJournal*6/10 || len(data) < maxJournal*4/10 {
		t.Errorf("%d bytes are left", len(data))
	}
	list := records(data)
	if got, want := len(list), bytes.Count(data, []byte("\n"))-1; got != want {
		t.Errorf("%d of %d lines can be read", got, want)
	}
	end, last := list[len(list)-1], list[len(list)-2]
	if end.Name != "o" || end.Pid != 7 || end.How != howUnknown || end.Event != eventExited || time.Since(end.Time) > time.Hour {
		t.Errorf("the last line is %+v", end)
	}
	if last.Name != "r" || last.Pid != 7999 || last.Event != eventExited {
		t.Errorf("the line before is %+v", last)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"name":"a","pid":1,"event":"started","code":0,"time":"2030-01-01T00:00:00Z"}` + "\n"))
	f.Add([]byte("{}\nnull\n" + `{"name":"a","event":"exited"}` + "\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lost := unfinished(data)
		if len(data) > 0 && data[len(data)-1] != '\n' {
			data = append(bytes.Clone(data), '\n')
		}
		for _, r := range lost {
			r.Event = eventExited
			data = append(data, r.line()...)
		}
		if more := unfinished(data); len(lost) > 0 && len(more) >= len(lost) && more[0] == lost[0] {
			t.Errorf("%+v is still unfinished", more[0])
		}
	})
}

// TestJournalIsShortened keeps a journal that grows while its keeper works within its bound.
func TestJournalIsShortened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	line := len(record{Name: "replica", Event: eventStarted}.line())
	for range 3*maxJournal/line + 1 {
		j.write(record{Name: "replica", Event: eventStarted})
	}
	j.record(record{Name: "last", Pid: 1, Event: eventStarted})
	if err := j.close(); err != nil {
		t.Fatal(err)
	}

	data, err := os.ReadFile(path)
	if err != nil || len(data) > 2*maxJournal+line {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	list := records(data)
	if list[len(list)-1].Name != "last" {
		t.Errorf("the last record is %+v", list[len(list)-1])
	}
}

// TestJournalSaysWhatIsMissing has a journal that cannot be written for a while.
func TestJournalSaysWhatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	good := j.file
	if j.file, err = os.Open(os.DevNull); err != nil { // opened to read, it cannot be written
		t.Fatal(err)
	}
	j.record(record{Name: "a", Event: eventStarted})
	j.record(record{Name: "b", Event: eventStarted})
	j.flush()
	j.file.Close()
	j.file = good
	j.record(record{Name: "c", Event: eventStarted})
	if err := j.close(); err != nil {
		t.Fatal(err)
	}

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list := records(data)
	if len(list) != 2 || list[0].Event != eventLost || list[0].Code != 2 || list[1].Name != "c" {
		t.Errorf("%+v", list)
	}
}
