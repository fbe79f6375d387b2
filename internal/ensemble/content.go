package ensemble

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/divisi-go/divisi/internal/name"
)

// Content is what was pushed for an ensemble: the sums of artifacts, by what a document calls them between braces: "fs" and
// "fs.NAME" are files, "env.NAME" is what programs need, and "exe.NAME" is a program. All but the last are folders.
type Content map[string]string

// Kinds of content.
const (
	Files      = "fs"
	Needs      = "env"
	Executable = "exe"
)

// Key returns what a document calls content of a kind and a name. Only files may have none.
func Key(kind, of string) (string, error) {
	if of == "" && kind == Files {
		return kind, nil
	}
	if of == "" {
		return "", fmt.Errorf("%s has no name: give one, as it is called in {%s.NAME}", kind, kind)
	}
	if err := name.CheckLabel(of); err != nil {
		return "", err
	}
	return kind + "." + of, nil
}

// place is where a text means content: the kind, and the name behind a point.
var place = regexp.MustCompile(`\{(exe|env|fs)(?:\.([^{}]*))?\}`)

// places returns the keys of the content that a text means.
func places(text string) (keys []string, err error) {
	for _, found := range place.FindAllStringSubmatch(text, -1) {
		key, wrong := Key(found[1], found[2])
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", found[0], wrong))
			continue
		}
		keys = append(keys, key)
	}
	return keys, err
}

// content finds mistakes in where the settings of a layer mean content.
func (c *checker) content(s Settings, where []string) {
	check := func(text string, path ...string) {
		if _, err := places(text); err != nil {
			c.Fail(below(where, path...), "%w", err)
		}
	}
	check(s.Program, "program")
	check(s.Dir, "dir")
	for i, text := range s.Args {
		if _, err := places(text); err != nil {
			c.FailElement(i, below(where, "args"), "%w", err)
		}
	}
	for variable, text := range s.Env {
		check(text, "env", variable)
	}
}

// uses returns what the settings mean of what was pushed, "" for what was not.
func (s Settings) uses(pushed Content) Content {
	used := Content{}
	texts := append([]string{s.Program, s.Dir}, s.Args...)
	for _, text := range slices.AppendSeq(texts, maps.Values(s.Env)) {
		keys, _ := places(text) // what is wrong was told
		for _, key := range keys {
			used[key] = pushed[key]
		}
	}
	return used
}

// Lacks returns the keys of the content that servers use, and that was not pushed.
func (e *Ensemble) Lacks() []string {
	lacks := map[string]bool{}
	for _, s := range e.Servers() {
		for key, sum := range s.Of.Content {
			if sum == "" {
				lacks[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(lacks))
}

// Push returns what is said when content is another one.
func (s Said) Push(key, sum string) Said {
	pushed := Content{key: sum}
	s.Content = merge(pushed, s.Content)
	return s
}
