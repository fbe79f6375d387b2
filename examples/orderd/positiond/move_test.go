package positiond

import "testing"

func FuzzMove(f *testing.F) {
	for _, text := range []string{"17 -250", "0 1", "512 1", "1 0", "1 99999999999999999999", "+1 +1", "1 2 3", "1 2\n3", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMove(text)
		if err != nil {
			return
		}
		if again, err := ParseMove(m.String()); err != nil || again != m {
			t.Errorf("%q is %v, which is read as %v: %v", text, m, again, err)
		}
	})
}
