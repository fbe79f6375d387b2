package runtime

import (
	"maps"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/message"
)

// FuzzParseConfig: what is accepted has every section validated, each of which can be decoded, and
// crosses the envelope protocol.
func FuzzParseConfig(f *testing.F) {
	f.Add(file)
	f.Add("[divisi]\nname = \"x\"\n[divisi.groups.a]\ncomponents = [\"example.com/a/B\"]\n[\"example.com/a/B\"]\nk = \"v\"")
	f.Add("[\"example.com/a/B\"]\na = 1\n[\"example.com/a/B\".b]\nc = []\n[other]\nx = 1")
	f.Add("[divisi]\nrollout = \"1h\"\nrollout = 1\n\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var validated []string
		c, err := ParseConfig("app.toml", text, func(key, val string) error {
			validated = append(validated, key)
			var v map[string]any
			return config.Decode(config.Section(val), &v)
		})
		if err != nil {
			if len(validated) > 0 {
				t.Errorf("a section of %q is refused: %v", text, err)
			}
			return
		}
		if !slices.Equal(validated, slices.Sorted(maps.Keys(c.Sections))) {
			t.Errorf("%q: sections %q are validated, and there are %q", text, validated, c.Sections)
		}
		var again message.AppConfig
		if err := message.Unmarshal(message.Marshal(c), &again); err != nil || !maps.Equal(again.Sections, c.Sections) {
			t.Errorf("%q: the sections %q arrive as %q, %v", text, c.Sections, again.Sections, err)
		}
	})
}
