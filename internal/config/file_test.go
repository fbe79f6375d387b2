package config

import (
	"slices"
	"strings"
	"testing"
)

// other is what the tests read a file of another kind into.
type other struct {
	Name  string
	Parts map[string]struct {
		Size  int
		Needs []string
	}
}

// whole checks that every part has a size, and needs others that are there.
func whole(f *File, o *other) {
	for _, key := range f.Keys("parts") {
		if !f.Has("parts", key, "size") {
			f.Fail([]string{"parts", key, "size"}, "%s is missing", Show("parts", key, "size"))
		}
		for i, need := range o.Parts[key].Needs {
			if _, ok := o.Parts[need]; !ok {
				f.FailElement(i, []string{"parts", key, "needs"}, "there is no part %s", need)
			}
		}
	}
	if o.Name == "" {
		f.Fail([]string{"name"}, "it has no name")
	}
}

func TestRead(t *testing.T) {
	const text = "[parts.\"b c\"]\nsize = 1\nneeds = [\n \"a\",\n \"x\"]\nsizes = 2\n[parts.a]\n"
	var o other
	var keys []string
	err := Read("other.toml", text, &o, func(f *File) {
		keys = f.Keys("parts")
		whole(f, &o)
	})
	want := strings.Join([]string{
		`other.toml:1:1: it has no name`,
		`other.toml:5:2: there is no part x`,
		`other.toml:6:1: unknown key sizes in [parts."b c"]: did you mean "size"?`,
		`other.toml:7:8: parts.a.size is missing`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if !slices.Equal(keys, []string{"b c", "a"}) {
		t.Errorf("the keys are %q", keys)
	}

	if err := Read("other.toml", "name = ", &o, func(*File) { t.Error("what is no TOML is checked") }); err == nil {
		t.Error("what is no TOML is read")
	}
	if err := Read("other.toml", "name = \"x\"", &o, func(f *File) { whole(f, &o) }); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("name = \"x\"\n[parts.a]\nsize = 1\nneeds = [\"a\"]\n")
	f.Add("[parts]\na = 1\nb = {size = \"x\"}\nname = []\n")
	f.Add("parts.a.needs = [[\"x\"], 1]\n[[parts.b]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		var o other
		checkPlaces(t, Read("other.toml", text, &o, func(f *File) { whole(f, &o) }), text)
	})
}
