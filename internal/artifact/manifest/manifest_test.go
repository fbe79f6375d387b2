package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

var sum = strings.Repeat("a0", 32)

// valid is an artifact that has everything.
func valid() Manifest {
	return Manifest{
		Name: "exampled", Version: "1.2+x", System: "linux/amd64", Run: []string{"{self}/bin/exampled", "{lib.c}/x", "a\"b"},
		Requires: map[string]string{"lib.c": sum},
		Files: []Entry{
			{Path: "bin/exampled", Mode: Executable, Size: 5, SHA256: sum},
			{Path: "lib/ü.so", Link: "../bin/exampled"},
			{Path: "share/empty", Mode: Plain, SHA256: Sum(nil)},
		},
	}
}

// TestText has the text of an artifact mean that artifact, and be the same in any order of its files.
func TestText(t *testing.T) {
	want := valid()
	got, err := Parse(want.Text(), MaxSize)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse: %v\n%+v\nwant\n%+v", err, got, want)
	}
	other := valid()
	other.Files[0], other.Files[2] = other.Files[2], other.Files[0]
	if !bytes.Equal(other.Text(), want.Text()) {
		t.Errorf("the order of the files is in the text:\n%s", other.Text())
	}
	command := got.Command("/a", map[string]string{"lib.c": "/b"})
	if fmt.Sprint(command) != `[/a/bin/exampled /b/x a"b]` {
		t.Errorf("the command is %q", command)
	}
}

// TestWrong has everything that is wrong be an error of its own.
func TestWrong(t *testing.T) {
	file := func(f Entry) func(*Manifest) { return func(m *Manifest) { m.Files = append(m.Files, f) } }
	path := func(path string) func(*Manifest) { return file(Entry{Path: path, Mode: Plain, SHA256: Sum(nil)}) }
	link := func(at, to string) func(*Manifest) { return file(Entry{Path: at, Link: to}) }
	for name, c := range map[string]struct {
		change func(*Manifest)
		want   error
	}{
		"nothing":          {func(*Manifest) {}, nil},
		"absolute":         {path("/etc/passwd"), ErrEscapes},
		"up":               {path("a/../../b"), ErrEscapes},
		"dot":              {path("."), ErrEscapes},
		"backslash":        {path(`..\b`), ErrEscapes},
		"control":          {path("a\nb"), ErrText},
		"own text":         {path(File), ErrText},
		"long":             {path(strings.Repeat("a/", 512) + "a"), ErrLimit},
		"deep":             {path(strings.Repeat("a/", 64) + "a"), ErrLimit},
		"long name":        {path(strings.Repeat("a", 256)), ErrLimit},
		"twice":            {path("bin/exampled"), ErrDuplicate},
		"file as folder":   {path("bin/exampled/x"), ErrDuplicate},
		"below a link":     {path("lib/ü.so/x"), ErrDuplicate},
		"absolute link":    {link("x", "/etc/passwd"), ErrLink},
		"link out":         {link("lib/x", "../../x"), ErrLink},
		"link out later":   {link("lib/x", "../lib/../../x"), ErrLink},
		"link over a link": {link("lib/x", "y/../../z"), ErrLink},
		"link to the top":  {link("lib/x", ".."), nil},
		"link beside":      {link("lib/x", "..x/y"), nil},
		"link with mode":   {file(Entry{Path: "x", Link: "y", Mode: Plain}), ErrText},
		"set user":         {file(Entry{Path: "x", Mode: 0o4755, SHA256: sum}), ErrText},
		"no sum":           {file(Entry{Path: "x", Mode: Plain}), ErrText},
		"negative":         {file(Entry{Path: "x", Mode: Plain, Size: -1, SHA256: sum}), ErrText},
		"bomb":             {file(Entry{Path: "x", Mode: Plain, Size: 1 << 62, SHA256: strings.Repeat("b0", 32)}), ErrLimit},
		"two sizes":        {file(Entry{Path: "x", Mode: Plain, Size: 6, SHA256: sum}), ErrText},
		"name":             {func(m *Manifest) { m.Name = "../x" }, ErrText},
		"version":          {func(m *Manifest) { m.Version = "1 2" }, ErrText},
		"system":           {func(m *Manifest) { m.System = "linux" }, ErrText},
		"requires no sum":  {func(m *Manifest) { m.Requires["x"] = "1" }, ErrText},
		"runs elsewhere":   {func(m *Manifest) { m.Run[0] = "/bin/sh" }, ErrText},
		"runs nothing":     {func(m *Manifest) { m.Run[0] = "{self}/share/empty" }, ErrText},
		"unknown artifact": {func(m *Manifest) { m.Run[0] = "{jre}/bin/java" }, ErrText},
		"many files": {func(m *Manifest) {
			for i := range maxFiles {
				m.Files = append(m.Files, Entry{Path: fmt.Sprint(i), Link: "x"})
			}
		}, ErrLimit},
	} {
		m := valid()
		c.change(&m)
		if err := m.Check(MaxSize); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestStrict has errors of the text name the line and the key.
func TestStrict(t *testing.T) {
	_, err := Parse([]byte("name = \"x\"\ncolour = 1\n"), MaxSize)
	if !errors.Is(err, ErrText) || !strings.Contains(err.Error(), `artifact.toml:2:1: unknown key colour`) {
		t.Errorf("the error is %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(valid().Text())
	f.Add([]byte("name = \"x\"\n[[file]]\npath = \"../x\"\n"))
	f.Add([]byte("run = [\"{}\", \"{self}\"]\n[requires]\n\"a.b\" = 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse(text, 1<<20)
		if err != nil {
			return
		}
		again, err := Parse(m.Text(), 1<<20)
		if err != nil || !bytes.Equal(again.Text(), m.Text()) {
			t.Errorf("%q is read as %+v, whose text is %q, which is read as %+v, %v", text, m, m.Text(), again, err)
		}
	})
}
