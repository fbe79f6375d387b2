package logline

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

// TestAppend: every entry is one line of JSON, whatever is in it.
func TestAppend(t *testing.T) {
	nasty := "a\"b\\c\nd\te\x00f\x7fg\u2028h\xff<&>é😀\u009b\u202e"
	clean := strings.ToValidUTF8(nasty, "\uFFFD")
	e := &Entry{
		Time: time.UnixMicro(1_500_000), Level: nasty, Msg: nasty, Component: nasty, Node: nasty,
		Version: nasty, File: nasty, Line: 7, Attrs: Attrs{nasty, nasty, "k", ""},
	}
	for key, want := range map[string]string{"": `{"divisi":1,"time":"1970-01-01T00:00:01.5Z",`, "KEY": `{"divisi":"KEY","time":`} {
		line := string(Append([]byte("before"), e, key))
		line, ok := strings.CutPrefix(line, "before"+want)
		if !ok || strings.Count(line, "\n") != 1 || strings.ContainsAny(line, "\u009b\u202e\u2028\x7f") {
			t.Errorf("the line is %q", line)
		}
	}

	got, ok := Parse(Append(nil, e, ""))
	want := Entry{
		Time: e.Time.UTC(), Level: clean, Msg: clean, Component: clean, Node: clean, Version: clean,
		File: clean, Line: 7, Attrs: Attrs{clean, clean, "k", ""},
	}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if line := string(Append(nil, &Entry{Attrs: Attrs{"odd"}}, "")); line != `{"divisi":1,"time":"0001-01-01T00:00:00Z","level":"","msg":""}`+"\n" {
		t.Errorf("an empty entry: %s", line)
	}
}

// TestLong: what is too long is cut where it is, and says so.
func TestLong(t *testing.T) {
	long := strings.Repeat("y", 100_000)
	var many Attrs
	for i := range 5000 {
		many = append(many, strconv.Itoa(i), "value")
	}
	for name, c := range map[string]struct {
		entry Entry
		check func(e Entry) bool
	}{
		"an attribute": {
			Entry{Level: "error", Msg: "m", Attrs: Attrs{"end", "THEEND", "text", long}},
			func(e Entry) bool {
				return e.Msg == "m" && e.Attrs[1] == "THEEND" && len(e.Attrs[3]) > 30_000 && strings.HasSuffix(e.Attrs[3], " bytes cut)")
			},
		},
		"many attributes": {
			Entry{Level: "error", Msg: "m", Attrs: many},
			func(e Entry) bool {
				return len(e.Attrs) > 500 && strings.Contains(strings.Join(e.Attrs, " "), "attributes cut")
			},
		},
		"a message": {
			Entry{Level: "error", Msg: long, Component: "c"},
			func(e Entry) bool {
				return len(e.Msg) > 55_000 && e.Component == "c" && strings.HasSuffix(e.Msg, " bytes cut)")
			},
		},
		"a message that was cut": {
			Entry{Level: "stdout", Msg: "short", Cut: 7},
			func(e Entry) bool { return e.Msg == "short… (7 bytes cut)" },
		},
		"everything": {
			Entry{Level: long, Msg: long, Component: long, Node: long, Version: long, File: long, Line: math.MaxInt, Attrs: Attrs{long, long, long, long}},
			func(e Entry) bool { return e.Attrs != nil },
		},
		"quotes": {
			Entry{Level: "error", Msg: strings.Repeat(`"`, 100_000), Attrs: Attrs{"k", strings.Repeat("\x01", 100_000)}},
			func(e Entry) bool { return strings.HasSuffix(e.Msg, " bytes cut)") },
		},
	} {
		line := Append(nil, &c.entry, strings.Repeat("K", 26))
		own, ok := Own(bytes.TrimSuffix(line, []byte("\n")), strings.Repeat("K", 26))
		if !ok || len(line) > MaxLine {
			t.Errorf("%s: a line of %d bytes, %v", name, len(line), ok)
			continue
		}
		e, ok := Parse(own)
		if !ok || !c.check(e) {
			t.Errorf("%s: %.100q, %d attributes", name, e.Msg, len(e.Attrs))
		}
	}
}

// TestOwn: only who knows the key writes entries.
func TestOwn(t *testing.T) {
	e := &Entry{Level: "info", Msg: "m"}
	for _, c := range []struct {
		text, key string
		want      bool
	}{
		{string(Append(nil, e, "")), "", true},
		{string(Append(nil, e, "KEY")), "KEY", true},
		{string(Append(nil, e, "")), "KEY", false},
		{string(Append(nil, e, "OTHER")), "KEY", false},
		{`{"divisi":1,`, "", false},
		{` {"divisi":1,"level":"info"}`, "", false},
	} {
		line, ok := Own([]byte(strings.TrimSuffix(c.text, "\n")), c.key)
		if ok != c.want || ok && string(line) != string(Append(nil, e, "")) {
			t.Errorf("%q with the key %q is %q, %v", c.text, c.key, line, ok)
		}
	}
}

func TestVisible(t *testing.T) {
	const hidden = "a\x1b[2Jb\nc\u0085d\u009b\u202ee\tf\u2066"
	if got, want := Visible(hidden), `a\x1b[2Jb\nc\u0085d\u009b\u202ee`+"\t"+`f\u2066`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Visible("Grüße\tan 👩‍👩‍👧"); got != "Grüße\tan 👩‍👩‍👧" {
		t.Errorf("got %q", got)
	}

	data, err := json.Marshal(map[string]string{hidden: hidden})
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	visible := VisibleJSON(data)
	if err := json.Unmarshal(visible, &back); err != nil || back[hidden] != hidden || bytes.ContainsFunc(visible, controls) {
		t.Errorf("%q, %v", visible, err)
	}
}

// FuzzParse: what Parse reads, Append writes again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"divisi":1,"time":"2026-01-02T03:04:05Z","level":"info","msg":"m","node":"n","attrs":{"a":"b"}}`))
	f.Add([]byte(`{"level":"warn","time":"9999-12-31T23:59:59Z","attrs":{}}`))
	f.Add([]byte("{\"level\":\"x\xff\",\"msg\":\"\\u0000\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, ok := Parse(text)
		if !ok {
			return
		}
		line := Append(nil, &e, "")
		again, ok := Parse(line)
		if !ok || len(line) > MaxLine {
			t.Fatalf("%q is written as %q", text, line)
		}
		if len(text) < 512 && (again.Msg != e.Msg || again.Level != e.Level || !reflect.DeepEqual(again.Attrs, e.Attrs)) {
			t.Errorf("%+v comes back as %+v", e, again)
		}
	})
}

// FuzzAppend: a line is one line of JSON, short enough, and shows nothing that could control a
// terminal.
func FuzzAppend(f *testing.F) {
	f.Add("msg", "key", "value", 3)
	f.Add("\xff\"\\\n", "\u2029", "\x00\ufeff\u202e", 70_000)
	f.Fuzz(func(t *testing.T, msg, key, value string, times int) {
		times = min(max(times, 1), 100_000)
		value = strings.Repeat(value, min(times, 1<<18/max(len(value), 1)+1))
		line := Append(nil, &Entry{Level: "info", Msg: msg, Attrs: Attrs{key, value}}, "K")
		own, ok := Own(bytes.TrimSuffix(line, []byte("\n")), "K")
		if !ok || len(line) > MaxLine || bytes.ContainsFunc(line[:len(line)-1], unicode.IsControl) {
			t.Fatalf("%d bytes: %.200q", len(line), line)
		}
		if _, ok := Parse(own); !ok {
			t.Fatalf("%.200q is no entry", own)
		}
	})
}

// TestFormat keeps the line of an entry, which programs and later versions read.
func TestFormat(t *testing.T) {
	line := string(Append(nil, &Entry{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), Level: "info", Msg: "sold",
		Component: "example.com/shop/cart/Cart", Node: "cart-0@/shop", Version: "2",
		File: "cart.go", Line: 12, Attrs: Attrs{"user", "7"},
	}, ""))
	want := `{"divisi":1,"time":"2026-01-02T03:04:05.678Z","level":"info","msg":"sold",` +
		`"component":"example.com/shop/cart/Cart","node":"cart-0@/shop","version":"2",` +
		`"file":"cart.go","line":12,"attrs":{"user":"7"}}` + "\n"
	if line != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
}
