//go:build linux || darwin

package keeper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// read returns the current log of a process.
func read(t *testing.T, k *Keeper, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(k.LogDir(), name+".log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

type logLine struct {
	Divisi int
	Time   time.Time
	Level  string
	Msg    string
	Node   string
}

func parse(t *testing.T, data []byte) []logLine {
	t.Helper()
	var list []logLine
	for line := range bytes.Lines(data) {
		var l logLine
		if err := json.Unmarshal(line, &l); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, l)
	}
	return list
}

func TestLines(t *testing.T) {
	k := open(t, t.TempDir())
	entry := `{"divisi":1,"time":"2030-01-01T00:00:00Z","level":"info","msg":"ours","node":"n"}`
	long := strings.Repeat("x", maxLine+100)
	p := start(t, k, shell("talker", fmt.Sprintf(
		"echo plain; echo '%s'; echo '%s,'; printf 'a\\377b\\n'; echo %s; printf unfinished", entry, entry, long)))
	wait(t, p)
	p = start(t, k, shell("talker", "echo again >&2"))
	wait(t, p)
	k.wait.Wait()
	log := read(t, k, "talker")
	if !strings.Contains(log, entry+"\n") {
		t.Error("the line that is an entry is not as it was")
	}
	var got []string
	for _, l := range parse(t, []byte(log)) {
		got = append(got, l.Level+" "+l.Msg)
		if l.Divisi != 1 || l.Time.IsZero() || l.Node != "talker" && l.Node != "n" {
			t.Errorf("%+v", l)
		}
	}
	want := []string{"stdout plain", "info ours", "stdout " + entry + ",", "stdout a\ufffdb",
		"stdout " + long[:maxLine], "stdout unfinished", "stderr again"}
	if len(got) != len(want) {
		t.Fatalf("%d lines: %.80q", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: %.80q, not %.80q", i+1, got[i], want[i])
		}
	}
}

func TestRotation(t *testing.T) {
	k := open(t, t.TempDir())
	k.logSize = 8 << 10
	const lines = 1000
	p := start(t, k, shell("talker", fmt.Sprintf(
		"i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); done", lines)))
	wait(t, p)
	k.wait.Wait()
	names, err := os.ReadDir(k.LogDir())
	if err != nil || len(names) != 1+oldFiles {
		t.Fatalf("files %v, %v", names, err)
	}
	var all []logLine
	for n := oldFiles; n >= 0; n-- {
		name := "talker.log"
		if n > 0 {
			name += "." + strconv.Itoa(n)
		}
		data, err := os.ReadFile(filepath.Join(k.LogDir(), name))
		if err != nil || int64(len(data)) > k.logSize || len(data) == 0 {
			t.Errorf("%s has %d bytes, %v", name, len(data), err)
		}
		all = append(all, parse(t, data)...)
	}
	for i, l := range all {
		if want := fmt.Sprintf("line %d", lines-len(all)+i); l.Msg != want {
			t.Fatalf("%q where %q should be", l.Msg, want)
		}
	}
	if len(all) < 100 {
		t.Errorf("only %d lines are left", len(all))
	}
}

// TestFlood has a process print more than can be written, as nothing is written at all at first:
// it ends nevertheless, and the log says later what is missing.
func TestFlood(t *testing.T) {
	for name, words := range map[string]string{
		"many":  "x",
		"large": strings.Repeat("y", 40<<10),
	} {
		t.Run(name, func(t *testing.T) {
			k := open(t, t.TempDir())
			stuck := make(chan struct{})
			k.logged[name] = stuck
			lines := 20_000
			if name == "large" {
				lines = 200
			}
			p := start(t, k, shell(name, fmt.Sprintf(
				"i=0; while [ $i -lt %d ]; do echo %s; i=$((i+1)); done; exit 5", lines, words)))
			exit := wait(t, p)
			if exit.Code != 5 || read(t, k, name) != "" {
				t.Fatalf("exit %+v", exit)
			}
			close(stuck)
			k.wait.Wait()
			log := parse(t, []byte(read(t, k, name)))
			last := log[len(log)-1]
			var lost int
			if _, err := fmt.Sscanf(last.Msg, "%d lines dropped", &lost); err != nil || last.Level != "warn" {
				t.Fatalf("last line %+v: %v", last, err)
			}
			held := 0
			for i, l := range log[:len(log)-1] {
				if n := 0; l.Level == "warn" {
					fmt.Sscanf(l.Msg, "%d lines dropped", &n)
					lost += n
					continue
				} else if l.Msg != words {
					t.Fatalf("line %d: %.80q", i+1, l.Msg)
				}
				held++
			}
			if held+lost != lines {
				t.Errorf("%d lines are there and %d are missing of %d", held, lost, lines)
			}
			if held == 0 || held > maxLines || held*len(words) > maxBytes {
				t.Errorf("%d lines were held", held)
			}
		})
	}
}

// TestUnwritableLog has a process whose log cannot be opened: it runs without.
func TestUnwritableLog(t *testing.T) {
	k := open(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(k.LogDir(), "talker.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, k, shell("talker", "echo hello; exit 6"))
	if exit := wait(t, p); exit.Code != 6 {
		t.Errorf("exit %+v", exit)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\xff\x00\n" + `{"divisi":1,"msg":"x"}` + "\n" + `{"divisi":1,` + "\nend"))
	f.Add(bytes.Repeat([]byte("0123456789"), maxLine/5))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := newOutput("fuzz", "", 0)
		o.read(bytes.NewReader(data), "stdout")
		close(o.lines)
		bytesIn, linesIn := int64(0), int64(0)
		for line := range o.lines {
			if !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("%q is no line of JSON", line)
			}
			linesIn++
			bytesIn += int64(len(line))
		}
		want := int64(bytes.Count(data, []byte("\n")))
		if len(data) > 0 && data[len(data)-1] != '\n' {
			want++
		}
		if got := linesIn + o.dropped.Load(); got != want || o.waiting.Load() != bytesIn || bytesIn > maxBytes {
			t.Errorf("%d lines of %d, %d bytes, said to be %d", got, want, bytesIn, o.waiting.Load())
		}
	})
}
