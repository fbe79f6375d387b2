package control

import (
	"encoding/json"
	"math"
	"testing"
)

func TestNumber(t *testing.T) {
	for n, want := range map[Number]string{
		1.5: "1.5", 0: "0", Number(math.Inf(1)): `"+Inf"`, Number(math.Inf(-1)): `"-Inf"`,
	} {
		text, err := json.Marshal(n)
		if err != nil || string(text) != want {
			t.Errorf("%v is %s, %v; want %s", n, text, err, want)
		}
		var back Number
		if err := json.Unmarshal(text, &back); err != nil || back != n {
			t.Errorf("%s is read as %v, %v", text, back, err)
		}
	}
	if text, err := json.Marshal(Number(math.NaN())); err != nil || string(text) != `"NaN"` {
		t.Errorf("no number is %s, %v", text, err)
	}
}

func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"1", "-1e300", `"NaN"`, `"+Inf"`, `"x"`, "{}", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var n Number
		if json.Unmarshal(data, &n) != nil {
			return
		}
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatalf("%s is read as %v, and not written: %v", data, n, err)
		}
		var back Number
		if err := json.Unmarshal(text, &back); err != nil || back != n && !math.IsNaN(float64(n)) {
			t.Errorf("%v is written %s, and read as %v, %v", n, text, back, err)
		}
	})
}
