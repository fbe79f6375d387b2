package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/control"
)

func number(into *int) func(string) error {
	return func(text string) error {
		v, err := Parse(reflect.TypeFor[int](), text)
		if err != nil {
			return err
		}
		if v.Int() < 1024 {
			return errors.New("use a port from 1024 on")
		}
		*into = int(v.Int())
		return nil
	}
}

var port = control.Question{Key: "/orderd/eu/port", Text: "port 80 is taken: which one?", Type: "a whole number", Default: "80"}

// TestAsk: what is refused is said, to whoever answers and to whoever looks; what is taken ends the question.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New("orderd", "anybody", NewShelf(t.TempDir()))
		got := 0
		over := make(chan error, 1)
		go func() {
			_, err := d.Ask(t.Context(), port, number(&got))
			over <- err
		}()
		synctest.Wait()

		for _, refused := range []struct {
			answer control.Answer
			why    string
		}{
			{control.Answer{Key: "port", Kind: control.Value, Value: "abc"}, "invalid syntax"},
			{control.Answer{Key: "eu/port", Kind: control.Value, Value: "80"}, "use a port from 1024 on"},
			{control.Answer{Key: "ports", Kind: control.Value, Value: "80"}, "/orderd/eu/port"},
		} {
			err := d.Answer(refused.answer)
			var e *control.Error
			if !errors.As(err, &e) || !strings.Contains(e.Text+e.Way, refused.why) {
				t.Errorf("%+v: %v", refused.answer, err)
			}
		}
		open := d.Questions()
		if len(open) != 1 || !strings.Contains(open[0].Refused, "use a port from 1024 on") {
			t.Errorf("%+v", open)
		}

		if err := d.Answer(control.Answer{Key: "port", Kind: control.Value, Value: "8080"}); err != nil {
			t.Fatal(err)
		}
		if err := <-over; err != nil || got != 8080 {
			t.Errorf("%v, %v", got, err)
		}
		if err := d.Answer(control.Answer{Key: "port", Kind: control.Value, Value: "8081"}); err == nil {
			t.Error("answered twice")
		}
	})
}

// TestShelf: a question is there while its program is not, and an answer that was given then is taken by the
// next run, once.
func TestShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		killed := New("orderd", "anybody", NewShelf(dir)) // nothing of it ends
		if _, err := killed.put(port, number(new(int))); err != nil {
			t.Fatal(err)
		}

		away := NewShelf(dir)
		if open, err := away.Open(); err != nil || len(open) != 1 || open[0].Text != port.Text {
			t.Fatalf("%+v, %v", open, err)
		}
		if err := away.Answer(control.Answer{Key: "port", Kind: control.Value, Value: "8080"}); err != nil {
			t.Fatal(err)
		}
		if open, err := away.Open(); err != nil || *open[0].Given != (control.Answer{Key: port.Key, Kind: control.Value}) { // and not which
			t.Fatalf("%+v, %v", open, err)
		}

		var next *Desk
		got := 0
		for range 2 { // the first one is killed before it has used the answer
			next = New("orderd", "anybody", NewShelf(dir))
			if _, err := next.Ask(t.Context(), port, number(&got)); err != nil || got != 8080 {
				t.Fatalf("%v, %v", got, err)
			}
			if open, err := away.Open(); err != nil || len(open) > 0 {
				t.Fatalf("%+v, %v", open, err)
			}
		}

		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := next.Ask(limited, port, number(&got)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it was no help, and is taken again: %v", err)
		}
	})
}

// TestMeanwhile: an answer that somebody leaves in the folder while the program starts is found.
func TestMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := New("orderd", "anybody", NewShelf(dir))
		over := make(chan error, 1)
		go func() {
			_, err := d.Ask(t.Context(), port, number(new(int)))
			over <- err
		}()
		synctest.Wait()
		if err := NewShelf(dir).Answer(control.Answer{Key: "port", Kind: control.GiveUp}); err != nil {
			t.Fatal(err)
		}
		if err := <-over; !errors.Is(err, ErrGivenUp) {
			t.Error(err)
		}
	})
}

// TestDamaged: files that are no notes are none.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	s := NewShelf(dir)
	if err := s.putQuestion(Note{Question: port}); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"", "{", "[]", `{"key": 7}`, `{}`} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("question-%d.json", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if open, err := s.Open(); err != nil || len(open) != 1 {
		t.Errorf("%+v, %v", open, err)
	}
}

func TestVerbs(t *testing.T) {
	d := New("orderd", "anybody", NewShelf(""))
	add := func(_ context.Context, base int, more ...time.Duration) (time.Duration, error) {
		sum := time.Duration(base)
		for _, m := range more {
			sum += m
		}
		if sum > time.Hour {
			return 0, errors.New("too long")
		}
		return sum, nil
	}
	forget, err := d.Verb("eu/add", "a.go:1", "Adds.", add)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Verb("boom", "a.go:2", "", func() { panic("bang") }); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		verb string
		args []string
		want string
	}{
		{"add", []string{"7"}, "7ns"},
		{"eu/add", []string{"0", "1m", "2s"}, "1m2s"},
		{"add", []string{"0", "2h"}, "error: too long"},
		{"add", nil, "error: eu/add takes"},
		{"add", []string{"x"}, `error: argument 1 of add: it is not a whole number: invalid syntax`},
		{"add", []string{"0", "secret"}, "error: argument 2 of add: it is not a duration, such as 1m30s: invalid syntax"},
		{"sub", nil, `error: orderd has no verb "sub"`},
		{"boom", nil, "error: boom panics: bang"},
		{"boom", []string{"x"}, "error: boom takes 0 arguments"},
	} {
		answer, err := d.Do(t.Context(), c.verb, c.args)
		got := fmt.Sprint(answer)
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, strings.Replace(c.want, "eu/add", c.verb, 1)) && !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %q: %s, want %s", c.verb, c.args, got, c.want)
		}
	}

	if _, err := d.Verb("eu/add", "b.go:2", "", add); err == nil || !strings.Contains(err.Error(), "a.go:1 and at b.go:2") {
		t.Error(err)
	}
	list := d.Verbs()
	if v := list[1]; v.Usage() != "eu/add NUMBER [DURATION...]" || v.Takes[1].Wants != "a duration, such as 1m30s" || !v.Takes[1].Many ||
		v.Gives != "a duration" || v.Answer != "time.Duration" || strings.Join(v.Args, " ") != "int time.Duration..." {
		t.Errorf("%+v", v)
	}
	for _, names := range [][]string{{"A"}, {"A", "B", "C"}} {
		if _, err := d.Verb("wrong", "", "", add, names...); err == nil || !strings.Contains(err.Error(), "it takes 2 arguments") {
			t.Errorf("named %q: %v", names, err)
		}
	}
	forget()
	if list := d.Verbs(); len(list) != 1 || list[0].Name != "boom" {
		t.Errorf("%+v", list)
	}
	for _, f := range []any{nil, 7, func(func()) {}, func() (int, int) { return 0, 0 }, func(chan int) {}, func() (a, b, c error) { return }} {
		if _, err := d.Verb("wrong", "", "", f); err == nil {
			t.Errorf("%T is a verb", f)
		}
	}
}

func TestKnobs(t *testing.T) {
	dir := t.TempDir()
	for run, want := range []int{10000, 20000, 20000} {
		d := New("orderd", "anybody", NewShelf(dir))
		value := 10000
		show := func() string { return fmt.Sprint(value) }
		_, refused, err := d.Knob("limit", "a.go:1", reflect.TypeFor[int](), show, number(&value))
		if err != nil || refused != nil || value != want {
			t.Errorf("run %d: %d, %v, %v", run, value, refused, err)
		}
		if err := d.Set("limit", "7"); err == nil || !strings.Contains(err.Error(), `the value of limit is refused: use a port from 1024 on`) {
			t.Error(err)
		}
		if err := d.Set("limits", "7"); err == nil {
			t.Error("a value is set that there is not")
		}
		if err := d.Set("limit", "20000"); err != nil || value != 20000 {
			t.Errorf("%d, %v", value, err)
		}
		if v := d.Values(); len(v) != 1 || v[0].Value != "20000" {
			t.Errorf("%+v", v)
		}
	}

	d := New("orderd", "anybody", NewShelf(dir))
	_, refused, err := d.Knob("limit", "a.go:1", reflect.TypeFor[int](), func() string { return "" },
		func(string) error { return errors.New("never") })
	if err != nil || refused == nil {
		t.Errorf("%v, %v", refused, err)
	}
}

// key is a text that is shown to nobody.
type key struct{ text string }

func (k *key) UnmarshalText(text []byte) error { k.text = string(text); return nil }
func (k key) MarshalText() ([]byte, error)     { return []byte("hidden"), nil }

// TestHidden: a type says what is seen of its values; the next run has all of it.
func TestHidden(t *testing.T) {
	dir := t.TempDir()
	for _, want := range []string{"none", "opensesame"} {
		d := New("orderd", "anybody", NewShelf(dir))
		v, _, refused, err := Tune(d, "key", "a.go:1", key{"none"}, nil)
		if err != nil || refused != nil || v.Get().text != want {
			t.Fatalf("%v, %v, %v", v.Get(), refused, err)
		}
		if err := d.Set("key", "opensesame"); err != nil || v.Get().text != "opensesame" {
			t.Errorf("%v, %v", v.Get(), err)
		}
		if list := d.Values(); len(list) != 1 || list[0].Value != "hidden" {
			t.Errorf("%+v", list)
		}
	}
}

type level int

func (l *level) UnmarshalText(text []byte) error {
	if string(text) != "high" {
		return errors.New("only high is known")
	}
	*l = 9
	return nil
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		of   reflect.Type
		text string
		want string
	}{
		{reflect.TypeFor[string](), " a b ", " a b "},
		{reflect.TypeFor[bool](), "true", "true"},
		{reflect.TypeFor[int8](), "-0x10", "-16"},
		{reflect.TypeFor[int8](), "300", "error: it is not a whole number: value out of range"},
		{reflect.TypeFor[uint16](), "-1", "error: it is not a whole number, not below 0: invalid syntax"},
		{reflect.TypeFor[float64](), "1.5", "1.5"},
		{reflect.TypeFor[time.Duration](), "90s", "1m30s"},
		{reflect.TypeFor[level](), "high", "9"},
		{reflect.TypeFor[level](), "low", "error: it is not the text of a operator.level: only high is known"},
		{reflect.TypeFor[[]int](), "[1, 2]", "[1,2]"},
		{reflect.TypeFor[struct{ A string }](), `{"A":"x"}`, `{"A":"x"}`},
		{reflect.TypeFor[time.Time](), "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"},
	} {
		v, err := Parse(c.of, c.text)
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = Show(v)
		}
		if got != c.want {
			t.Errorf("%v %q: %s, want %s", c.of, c.text, got, c.want)
		}
	}
}

// TestWanted: what is to be written is said to people.
func TestWanted(t *testing.T) {
	for _, c := range []struct {
		of          reflect.Type
		name, wants string
		gives       string
	}{
		{reflect.TypeFor[string](), "TEXT", "a text", "a text"},
		{reflect.TypeFor[bool](), "true|false", "true or false", "true or false"},
		{reflect.TypeFor[uint](), "NUMBER", "a whole number, not below 0", "a whole number"},
		{reflect.TypeFor[float32](), "NUMBER", "a number", "a number"},
		{reflect.TypeFor[time.Duration](), "DURATION", "a duration, such as 1m30s", "a duration"},
		{reflect.TypeFor[time.Time](), "TIME", "the text of a time.Time, such as 0001-01-01T00:00:00Z", "the text of a time.Time"},
		{reflect.TypeFor[[]int](), "JSON", "JSON, such as [0]", "a list"},
		{reflect.TypeFor[*struct{ A string }](), "JSON", `JSON, such as {"A":""}`, "an object"},
		{reflect.TypeFor[map[string]int](), "JSON", "JSON, such as {}", "an object"},
		{reflect.TypeFor[control.Status](), "JSON", "JSON", "an object"}, // an example would be long
	} {
		if name, wants := wanted(c.of); name != c.name || wants != c.wants || given(c.of) != c.gives {
			t.Errorf("%v: %q, %q, %q", c.of, name, wants, given(c.of))
		}
	}
}

// FuzzParse: whatever an operator writes is a value or an error, and a value is read again as it is shown.
func FuzzParse(f *testing.F) {
	kinds := []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[int8](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
		reflect.TypeFor[time.Duration](), reflect.TypeFor[string](), reflect.TypeFor[map[string][]int](),
	}
	for i, text := range []string{"true", "-7", "7", "1e3", "1h", "x", `{"a":[1]}`} {
		f.Add(i, text)
	}
	f.Fuzz(func(t *testing.T, kind int, text string) {
		of := kinds[uint(kind)%uint(len(kinds))]
		v, err := Parse(of, text)
		if err != nil {
			return
		}
		again, err := Parse(of, Show(v))
		if err != nil || Show(again) != Show(v) {
			t.Errorf("%q is shown as %q, which is read as %q: %v", text, Show(v), Show(again), err)
		}
	})
}

// FuzzShelf: whatever is in a file of a shelf, what can be read of it is a question, and nothing else happens.
func FuzzShelf(f *testing.F) {
	f.Add([]byte(`{"key": "/orderd/port", "given": {"kind": "value", "value": "7"}}`))
	f.Add([]byte(`{"key": "/orderd/port", "taken": true}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file(questionFile, port.Key)), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := NewShelf(dir)
		if _, err := s.Open(); err != nil {
			t.Fatal(err)
		}
		if n, ok := s.question(port.Key); ok && n.Key != port.Key {
			t.Fatalf("%+v", n)
		}
	})
}

// TestCommand: what a program was run by is kept, and is written as a shell takes it.
func TestCommand(t *testing.T) {
	s := NewShelf(t.TempDir())
	if c, ok := s.Command(); ok {
		t.Errorf("before the first run: %v", c)
	}
	if err := s.PutCommand(Command{Binary: "/srv/my app/orderd", Args: []string{"--at=:80", "it's", ""}, Dir: "/srv"}); err != nil {
		t.Fatal(err)
	}
	c, ok := s.Command()
	if want := `cd /srv && '/srv/my app/orderd' --at=:80 'it'\''s' ''`; !ok || c.String() != want {
		t.Errorf("got %v, want %s", c, want)
	}
	if open, err := s.Open(); err != nil || len(open) != 0 {
		t.Errorf("it is taken for a question: %v, %v", open, err)
	}
}
