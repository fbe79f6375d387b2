package rollout

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the script of testdata does into it")

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScript plays testdata/upgrade.script: a line "upgrade" begins one that may take a minute to
// become ready and 30 s to drain, a line "> EVENT @TIME" is an event, and the line after it is what
// comes of it.
func TestScript(t *testing.T) {
	const file = "testdata/upgrade.script"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	var u *Upgrade
	states, actions := map[State]bool{}, map[Action]bool{}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue // what came of an event before
		}
		fmt.Fprintln(&out, line)

		words := strings.Fields(line)
		if len(words) == 1 && words[0] == "upgrade" {
			u = &Upgrade{Policy: Policy{ReadyTime: time.Minute, DrainTime: 30 * time.Second}}
		}
		if len(words) == 0 || words[0] != ">" {
			continue
		}

		at, err := time.ParseDuration(strings.TrimPrefix(words[2], "@"))
		if err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
		did := u.Step(Event(words[1]), start.Add(at))
		states[u.State] = true
		for _, a := range did {
			actions[a] = true
		}
		fmt.Fprintln(&out, show(u, did))
	}

	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		text = []byte(out.String())
	}
	if out.String() != string(text) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), text)
	}
	if len(states) != 5 || len(actions) != 7 {
		t.Errorf("the script has %d of 5 states and %d of 7 actions", len(states), len(actions))
	}
}

func show(u *Upgrade, did []Action) string {
	line := "  " + string(u.State)
	if !u.Wake.IsZero() {
		line += fmt.Sprintf(" until %v", u.Wake.Sub(start))
	}
	for i, a := range did {
		line += map[bool]string{true: ": ", false: ", "}[i == 0] + string(a)
	}

	return line
}

func TestUnknownEvent(t *testing.T) {
	defer func() {
		if v := fmt.Sprint(recover()); !strings.Contains(v, `unknown event "explode"`) {
			t.Errorf("panic %s", v)
		}
	}()
	new(Upgrade).Step("explode", start)
}
