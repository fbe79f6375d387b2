package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ear hears a folder as somebody on another host does.
type ear struct {
	t *testing.T
	Listening
}

// hears returns what was said since the last time, log by log.
func (e *ear) hears() string {
	e.t.Helper()
	text := map[string]string{}
	var logs []string
	for range 100 {
		heard, err := Hear(e.Listening)
		if err != nil {
			e.t.Fatal(err)
		}
		if len(heard) == 0 {
			break
		}
		for _, said := range heard {
			if _, ok := text[said.Log]; !ok {
				logs = append(logs, said.Log)
			}
			text[said.Log] += string(said.Text)
			e.After[said.Log] = said.Next
		}
	}
	all := ""
	for _, log := range logs {
		all += fmt.Sprintf("%s: %s; ", log, strings.Join(strings.Fields(text[log]), " "))
	}
	return all
}

// TestHear: every line of a log is heard once, in order, whatever is rotated meanwhile.
func TestHear(t *testing.T) {
	dir := t.TempDir()
	write := func(log, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(log))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	rotate := func(log string) {
		t.Helper()
		path := filepath.Join(dir, log)
		_ = os.Rename(path+".1", path+".2") // there may be none
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	e := &ear{t, Listening{Folder: dir, After: map[string]Mark{}}}
	hears := func(want string) {
		t.Helper()
		if got := e.hears(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}

	hears("")
	write("web.log", "a\nb\nc")
	write("eu/web.log", "x\n")
	hears("eu/web.log: x; web.log: a b; ")
	hears("")
	write("web.log", "c\nd\n")
	rotate("web.log") // as the keeper does before it writes the next line
	write("web.log", "e\n")
	hears("web.log: cc d e; ")
	rotate("web.log")
	write("web.log", "f\n")
	hears("web.log: f; ")
	rotate("web.log")
	write("web.log", "g\n")
	rotate("web.log") // what has f is gone by now
	write("web.log", "h\n")
	if err := os.Remove(filepath.Join(dir, "web.log.2")); err != nil {
		t.Fatal(err)
	}
	hears("web.log: g h; ")

	only := &ear{t, Listening{Folder: dir, Only: "eu/web.log", After: map[string]Mark{}}}
	if got := only.hears(); got != "eu/web.log: x; " {
		t.Errorf("of one log %q is heard", got)
	}
	write("long.log", strings.Repeat(strings.Repeat("l", 999)+"\n", 2000))
	long := &ear{t, Listening{Folder: dir, Only: "long.log", After: map[string]Mark{}}}
	if got := long.hears(); strings.Count(got, "l ")+1 < 2000 {
		t.Errorf("of 2000 lines %d are heard", strings.Count(got, "l ")+1)
	}
	last := &ear{t, Listening{Folder: dir, Only: "long.log", Last: true, After: map[string]Mark{}}}
	if got := last.hears(); len(got) < lastBytes/2 || len(got) > lastBytes+100 {
		t.Errorf("of the end %d bytes are heard", len(got))
	}
}
