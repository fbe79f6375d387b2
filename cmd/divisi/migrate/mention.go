package migrate

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/divisi-go/divisi/internal/config"
)

// A rule says what becomes of a mention of Service Weaver's command.
type rule struct {
	old *regexp.Regexp
	now string
}

var rules = []rule{
	{regexp.MustCompile(`github\.com/ServiceWeaver/weaver/cmd/weaver\b`), divisi + "/cmd/divisi"},
	{regexp.MustCompile(`\bweaver generate\b`), "divisi generate"},
	{regexp.MustCompile(`\bweaver single deploy (\S+)`), "DIVISI_CONFIG=${1} go run ."},
	{regexp.MustCompile(`\bweaver multi deploy\b`), "divisi run"},
	{regexp.MustCompile(`\bweaver (?:multi|single) (status|logs|profile|metrics|dashboard)\b`), "divisi ${1}"},
	{regexp.MustCompile(`\bweaver (?:multi|single) purge( --force)?`), "divisi stop --all --yes"},
	{regexp.MustCompile(`\bweaver (version|callgraph)\b`), "divisi ${1}"},
	{regexp.MustCompile(`\bweaver_gen\.go\b`), "divisi_gen.go"},
}

// stays is what no rule is for.
var stays = regexp.MustCompile(`\bweaver (?:gke|gke-local|kube|ssh|multi|single)\b`)

// speaks reports whether a file may have commands in it that people or machines run.
func speaks(at string) bool {
	base := path.Base(at)
	switch path.Ext(base) {
	case ".sh", ".mk", ".yml", ".yaml", ".md":
		return true
	}
	for _, name := range []string{"Makefile", "GNUmakefile", "makefile", "justfile", "Justfile", "Dockerfile", "Containerfile"} {
		if base == name || strings.HasPrefix(base, name+".") {
			return true
		}
	}
	return false
}

// text plans what becomes of a file that is none of Go.
func (p *Plan) text(root fs.FS, at string, all bool) error {
	config := path.Ext(at) == ".toml"
	if !config && !speaks(at) {
		return nil
	}
	before, err := fs.ReadFile(root, at)
	if err != nil || len(before) > textMax || !bytes.Contains(bytes.ToLower(before), []byte("weaver")) {
		return err
	}
	if config {
		p.config(at, string(before))
		return nil
	}

	var after []byte
	var changed []Note
	n := 0
	for line := range bytes.Lines(before) {
		n++
		now := string(line)
		for _, r := range rules {
			now = r.old.ReplaceAllString(now, r.now)
		}
		shown := strings.TrimSpace(now)
		switch {
		case now != string(line) && all:
			changed = append(changed, Note{at, n, shown})
		case now != string(line):
			p.Left = append(p.Left, Note{at, n, "with --all it becomes: " + shown})
		}
		if what := stays.FindString(now); what != "" {
			p.Left = append(p.Left, Note{at, n, what + " has no counterpart"})
		}
		after = append(after, now...)
	}
	if !all {
		return nil
	}
	return p.change(root, at, before, after, changed)
}

// configures is the head of the table that a file of configuration begins with.
var configures = regexp.MustCompile(`(?m)^[ \t]*\[[ \t]*["']?(serviceweaver|github\.com/ServiceWeaver/weaver)["']?[ \t]*\]`)

// config looks at a file of configuration, which goes on as it is, unless something is wrong with it.
func (p *Plan) config(at, text string) {
	if !configures.MatchString(text) {
		return
	}
	p.Configs = append(p.Configs, at)
	_, err := config.Parse(at, text, config.Options{})
	for _, problem := range all(err) {
		var placed *config.Error
		if errors.As(problem, &placed) {
			p.Left = append(p.Left, Note{at, placed.Line, placed.Err.Error()})
		}
	}
}

// all returns the errors that are joined in one.
func all(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	return joined.Unwrap()
}
