package limit

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Limit{
		"nofile=1024":           {"nofile", 1024, 1024},
		"nofile=1024:4096":      {"nofile", 1024, 4096},
		"core=0":                {"core", 0, 0},
		"core=0:unlimited":      {"core", 0, Unlimited},
		"stack=8M":              {"stack", 8 << 20, 8 << 20},
		"as=1G:2T":              {"as", 1 << 30, 2 << 40},
		"memlock=unlimited":     {"memlock", Unlimited, Unlimited},
		"nproc=64:unlimited":    {"nproc", 64, Unlimited},
		"rttime=100000:1000000": {"rttime", 100000, 1000000},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: %s is %+v, %v", text, got, again, err)
		}
	}

	for text, want := range map[string]string{
		"":                       `"" is none of the limits as, core, cpu,`,
		"files=3":                `"files" is none of the limits as, core, cpu,`,
		"nofile":                 "nofile has no value: write nofile=VALUE, nofile=SOFT:HARD or nofile=unlimited",
		"nofile=":                `nofile=: "" is no value: write a number, or unlimited`,
		"nofile=1K":              `"1K" is no value: write a number, or unlimited`,
		"stack=8MB":              `"8MB" is no value: write a number of bytes, such as 64M, or unlimited`,
		"stack=-1":               `"-1" is no value`,
		"as=9000000000T":         "is no value",
		"nofile=2048:1024":       "nofile=2048:1024: the first value is more than the second one",
		"core=unlimited:0":       "the first value is more than the second one",
		strings.Repeat("x", 200): "has 200 bytes, and may have 100",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"nofile=1024:4096", "stack=8M", "core=unlimited", "as=:", "=", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(l.String()); err != nil || again != l {
			t.Errorf("%q: %s is %+v, %v", text, l, again, err)
		}
	})
}
