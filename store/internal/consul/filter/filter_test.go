package filter

import (
	"strings"
	"testing"
)

// service is what the tests filter.
var service = map[string]any{
	"Name": "web", "Port": 80, "On": true, "Tags": []string{"v1", "a b"}, "None": []string{},
	"Meta": map[string]string{"zone": "z", "a.b": "c"}, "Node": map[string]any{"Name": "n"},
	"Checks": []map[string]string{{"Status": "passing"}, {"Status": "warning"}},
}

func TestShows(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, `Name == web`: true, `Name=="web"`: true, "Name == `web`": true, `Name != "web"`: false, `Port == 80`: true, `On == true`: true,
		`Tags contains "v1"`: true, `"v1" in Tags`: true, `"v2" not in Tags`: true, `Tags not contains "a b"`: false,
		`None is empty`: true, `Tags is not empty`: true, `Gone is empty`: true, `Name matches "^w.b$"`: true, `Name not matches "x"`: true,
		`Meta.zone == z`: true, `Meta["a.b"] == c`: true, `Meta contains zone`: true, `Node.Name == n`: true, `Checks.Status == "warning"`: true,
		`Name == x or Port == 80 and On == true`: true, `(Name == x or Port == 80) and On == false`: false, `not Name == x`: true, `not (Name == web)`: false,
	} {
		f, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if f.Shows(service) != want {
			t.Errorf("%s is %v", text, !want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, text := range []string{
		"Name", "Name ==", "== x", "(Name == x", "Name == x)", "Name == x and", "not", `"v" == x`, `Name matches "("`, `Name == "x`, "Name == `x",
		`Meta["x == y`, `Meta[] == y`, ".a == b", "Name is", "Name not", "!", strings.Repeat("(", 200), strings.Repeat("not ", 200) + "a == b",
	} {
		if f, err := Parse(text); err == nil {
			t.Errorf("%s is understood: %v", text, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`Service.Tags contains "v1" and not (Checks.Status == "critical" or Meta["a b"] is empty)`)
	f.Add("`x` not in Tags or Name matches \"^a\"")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err == nil {
			parsed.Shows(service)
		}
	})
}
