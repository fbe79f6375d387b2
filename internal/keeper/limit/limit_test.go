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
		"memory=64M":            {"memory", 64 << 20, 64 << 20},
		"cpus=1.5":              {"cpus", 1500, 1500},
		"cpus=unlimited":        {"cpus", Unlimited, Unlimited},
		"pids=10":               {"pids", 10, 10},
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
		"memory":                 "memory has no value: write memory=VALUE or memory=unlimited",
		"memory=1M:2M":           "memory=1M:2M: what limits a control group has one value",
		"pids=0":                 "pids=0: with nothing no process runs",
		"cpus=0.001":             `"0.001" is no value: write a number of processors of 0.01 at least, such as 0.5 or 2, or unlimited`,
		"cpus=NaN":               `"NaN" is no value`,
		"cpus=1e300":             `"1e300" is no value`,
		strings.Repeat("x", 200): "has 200 bytes, and may have 100",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestControl: limits of a control group are apart from those of the process, and written as the kernel reads
// them.
func TestControl(t *testing.T) {
	var list []Limit
	for _, text := range []string{"nofile=9", "memory=1G", "cpus=0.25", "core=0", "pids=unlimited"} {
		l, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}

	process, group := Divide(list)
	if len(process) != 2 || process[0].Name != "nofile" || process[1].Name != "core" {
		t.Errorf("of the process are %v", process)
	}
	var files []string
	for _, l := range group {
		file, value := l.Control()
		files = append(files, file+" has "+value)
	}
	if got := strings.Join(files, ", "); got != "memory.max has 1073741824, cpu.max has 25000 100000, pids.max has max" {
		t.Errorf("the group's %s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"nofile=1024:4096", "stack=8M", "cpus=0.5", "memory=1G", "core=unlimited", "as=:", "=", "x"} {
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
