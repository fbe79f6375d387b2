package tree

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/divisi-go/divisi/internal/lifecycle"
)

var update = flag.Bool("update", false, "write what the scripts of testdata do into them, and draw what they show")

var begin = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// player plays one script: a line "> EVENT PATH... [@TIME] [KEY=VALUE...]" is one event for each path, the
// time being that since the begin, or for a tick without one the time that the tree wants. The lines after
// it are what there is to do. "> show" shows the members instead, and "> asks" sets what it says.
type player struct {
	t    *testing.T
	tree *Tree
	now  time.Time
	out  strings.Builder
	did  map[Do]bool
}

func (p *player) play(script string) {
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&p.out, line)
		case words[0] == ">" && len(words) > 1:
			fmt.Fprintln(&p.out, line)
			p.command(line, words[1], words[2:])
		}
	}
}

func (p *player) command(line, verb string, words []string) {
	var paths []string
	var spec Spec
	at := time.Time{}
	for _, word := range words {
		key, value, option := strings.Cut(word, "=")
		switch {
		case strings.HasPrefix(word, "@"):
			at = begin.Add(p.duration(word[1:]))
		case option:
			p.option(&spec, key, value)
		default:
			paths = append(paths, word)
		}
	}

	switch {
	case verb == "show":
		p.show()
		return
	case verb == "asks":
		p.tree.Asks = true
		return
	case verb == string(Tick):
		paths = []string{""}
		if at.IsZero() {
			at = p.tree.Wake()
		}
	}
	if !at.IsZero() {
		p.now = at
	}

	for _, path := range paths {
		if path != "/" && strings.HasSuffix(path, "/") || spec.Strategy != "" {
			path, spec.Group = strings.TrimSuffix(path, "/"), true
		}
		if path == "" && verb != string(Tick) || path == "/" {
			path, spec.Group = "/", true
		}
		for _, a := range p.tree.Step(Event{Kind: Kind(verb), Path: path, Spec: spec}, p.now) {
			p.did[a.Do] = true
			fmt.Fprintf(&p.out, "  %s %s", a.Do, a.Path)
			if !a.Until.IsZero() {
				fmt.Fprintf(&p.out, " until @%v", a.Until.Sub(begin))
			}
			fmt.Fprintln(&p.out)
		}
	}
}

func (p *player) option(spec *Spec, key, value string) {
	switch key {
	case "strategy":
		spec.Strategy = Strategy(value)
	case "host":
		spec.Host = value
	case "restart":
		spec.Policy.Restart = lifecycle.Restart(value)
	case "intensity":
		n, err := strconv.Atoi(value)
		if err != nil {
			p.t.Fatal(err)
		}
		spec.Policy.Intensity = n
	case "grace":
		spec.Policy.StopTime = p.duration(value)
	default:
		p.t.Fatalf("there is no option %s", key)
	}
}

func (p *player) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

func (p *player) show() {
	for _, m := range p.tree.Members() {
		fmt.Fprintf(&p.out, "  %s %s", m.Path, m.State)
		if m.Host != "" {
			fmt.Fprintf(&p.out, " %s", m.Host)
		}
		if m.Restarts > 0 {
			fmt.Fprintf(&p.out, " restarts=%d", m.Restarts)
		}
		fmt.Fprintln(&p.out)
	}
}

// TestScripts plays every section of testdata/*.txtar.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}

	drawn := diagram{}
	did := map[Do]bool{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, section := range archive.Files {
			p := &player{t: t, tree: &Tree{trace: drawn.add}, now: begin, did: did}
			p.play(string(section.Data))
			if got := p.out.String(); got != string(section.Data) && !*update {
				t.Errorf("%s, %s:\ngot\n%s\nwant\n%s", file, section.Name, got, section.Data)
			}
			archive.Files[i].Data = []byte(p.out.String())
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}

	for _, do := range []Do{Run, Halt, Kill, Complain, Wait, Fail, Ended, Fence, Refuse} {
		if !did[do] {
			t.Errorf("no script has the action %s", do)
		}
	}
	drawn.check(t)
}
