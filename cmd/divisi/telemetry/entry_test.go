package telemetry

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	e := parse([]byte(`{"divisi":1,"time":"2026-01-02T03:04:05.678Z","level":"info","msg":"sold",`+
		`"component":"example.com/shop/cart/Cart","node":"shop-cart-1","version":"V","file":"c.go","line":7,`+
		`"attrs":{"user":"7","item":"a b"}}`), "file-name")
	want := "info   shop-cart-1 [cart.Cart] sold item=\"a b\" user=7"
	if got := e.Format(false); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end with %q", got, want)
	}
	if !e.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)) || e.Version != "V" || e.Line != 7 {
		t.Errorf("got %+v", e)
	}
	for _, text := range []string{"plain", "{", `{"level":1}`, `{"msg":"no level"}`, "[]", "null"} {
		if e := parse([]byte(text), "shop-cart-1"); e.Level != "stderr" || e.Msg != text || e.Replica != "shop-cart-1" {
			t.Errorf("%s: got %+v", text, e)
		}
	}
	if e := parse([]byte(`{"level":"info","msg":"m"}`), "shop-cart-1"); e.Replica != "shop-cart-1" {
		t.Errorf("got %+v, want the replica from the file", e)
	}
}

// A log must not be able to control the terminal that it is shown on.
func TestFormatIsOneVisibleLine(t *testing.T) {
	e := Entry{Level: "error", Msg: "a\x1b[2Jb\nc\u0085d\u009b\u202e", Attrs: map[string]string{"k\r": "v\x07"}}
	got := e.Format(false)
	if strings.ContainsFunc(got, unicode.IsControl) {
		t.Errorf("%q has control characters", got)
	}
	data, err := json.Marshal(e)
	if err != nil || strings.ContainsFunc(string(data), unicode.IsControl) || strings.Contains(string(data), "\u202e") {
		t.Errorf("%q, %v has control characters", data, err)
	}
	if want := `a\x1b[2Jb\nc\u0085d\u009b\u202e`; !strings.Contains(got, want) {
		t.Errorf("%q does not have %q", got, want)
	}
	if got := e.Format(true); !strings.HasPrefix(got, "\x1b[31m") || !strings.HasSuffix(got, "\x1b[0m") {
		t.Errorf("%q has no colour", got)
	}
	if got := (Entry{Level: "info", Msg: "Grüße\tan alle"}).Format(true); !strings.HasSuffix(got, "Grüße\tan alle") {
		t.Errorf("got %q", got)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"divisi":1,"time":"2026-01-02T03:04:05Z","level":"info","msg":"m","node":"n","attrs":{"a":"b"}}`))
	f.Add([]byte(`{"level":"warn","time":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte("{\"level\":\"x\xff\",\"msg\":\"\\u0000\"}"))
	f.Add([]byte("\x1b[31mplain"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e := parse(text, "replica")
		shown := e.Format(false)
		if strings.ContainsAny(shown, "\n\r\x1b\x00") || !utf8.ValidString(shown) {
			t.Errorf("%q is shown as %q", text, shown)
		}
	})
}
