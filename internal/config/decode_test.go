package config

import (
	"fmt"
	"io"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// everything has a field for each kind of value.
type everything struct {
	*embedded
	Int8    int8
	Int64   int64
	Uint16  uint16
	Float32 float32
	Float64 float64
	Bool    bool
	String  string
	Time    time.Time
	Day     *time.Time
	Text    netip.Addr
	Clock   clock
	Array   [3]int
	Grid    [][]float64
	Map     map[string]int
	ByID    map[int]string
	ByAddr  map[netip.Addr]string
	Tables  []map[string]any
	Deep    **int
	Any     any
	Named   named `toml:"other_name,omitempty"`
	Skipped int   `toml:"-"`
	Reader  io.Reader
}

type embedded struct{ Inner int }

// Embedded is exported, so a nil pointer to it can be set.
type Embedded struct{ Outer int }

type named string

// clock takes a time of day as it is written.
type clock string

func (c *clock) UnmarshalText(text []byte) error {
	*c = clock(text)
	return nil
}

func TestValues(t *testing.T) {
	number := 3
	pointer := &number
	day := time.Date(2020, 2, 29, 0, 0, 0, 0, time.Local)
	for text, want := range map[string]everything{
		"int8 = -128":                              {Int8: -128},
		"INT64 = 0x7fff_ffff":                      {Int64: math.MaxInt32},
		"uint16 = 0b1010":                          {Uint16: 10},
		"int64 = 0o17":                             {Int64: 15},
		"int64 = +1_000":                           {Int64: 1000},
		"float32 = 1":                              {Float32: 1},
		"float64 = 6.626e-34":                      {Float64: 6.626e-34},
		"float64 = -inf":                           {Float64: math.Inf(-1)},
		"bool = true":                              {Bool: true},
		"string = \"a\\u00e9\\n\"":                 {String: "aé\n"},
		"string = '''\na\nb'''":                    {String: "a\nb"},
		"other_name = 'x'":                         {Named: "x"},
		"time = 2020-02-29 01:02:03.5Z":            {Time: time.Date(2020, 2, 29, 1, 2, 3, 5e8, time.UTC)},
		"time = 2020-02-29t00:00:00":               {Time: day},
		"time = '2020-02-29T01:02:03Z'":            {Time: time.Date(2020, 2, 29, 1, 2, 3, 0, time.UTC)},
		"day = 2020-02-29":                         {Day: &day},
		"text = '10.0.0.1'":                        {Text: netip.MustParseAddr("10.0.0.1")},
		"clock = 07:32:00":                         {Clock: "07:32:00"},
		"array = [1, 2]":                           {Array: [3]int{1, 2}},
		"grid = [[1, 2.5], [], # comment\n [3]\n]": {Grid: [][]float64{{1, 2.5}, {}, {3}}},
		"map.a = 1\nmap.b = 2":                     {Map: map[string]int{"a": 1, "b": 2}},
		"byid = { 7 = 'seven', -1 = 'less' }":      {ByID: map[int]string{7: "seven", -1: "less"}},
		"byaddr.'::1' = 'here'":                    {ByAddr: map[netip.Addr]string{netip.IPv6Loopback(): "here"}},
		"deep = 3":                                 {Deep: &pointer},
		"any = 1":                                  {Any: int64(1)},
		"any = 2020-02-29":                         {Any: day},
		"[[tables]]\na = 1\n[[tables]]\n[tables.b]\nc = [{ d = true }]": {Tables: []map[string]any{
			{"a": int64(1)}, {"b": map[string]any{"c": []any{map[string]any{"d": true}}}},
		}},
	} {
		var got everything
		if err := Decode(Section(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", text, got, err, want)
		}
	}
	var got struct{ *Embedded }
	if err := Decode("outer = 4", &got); err != nil || got.Embedded == nil || got.Outer != 4 {
		t.Errorf("an embedded pointer: %+v, %v", got, err)
	}
	nan := everything{}
	if err := Decode("float64 = -nan", &nan); err != nil || !math.IsNaN(nan.Float64) {
		t.Errorf("not a number: %v, %v", nan.Float64, err)
	}
}

// TestKeeps: what a value holds where a text says nothing stays.
func TestKeeps(t *testing.T) {
	got := everything{Map: map[string]int{"a": 1, "b": 2}, Grid: [][]float64{{1}}, Int8: 5}
	if err := Decode("map.b = 3\ngrid = []", &got); err != nil {
		t.Fatal(err)
	}
	want := everything{Map: map[string]int{"a": 1, "b": 3}, Grid: [][]float64{}, Int8: 5}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestValueErrors(t *testing.T) {
	for text, want := range map[string]string{
		"int8 = 128":                 "1:8: int8 cannot be 128: write a whole number from -128 to 127",
		"int64 = 0x8000000000000000": "1:9: not valid TOML: 0x8000000000000000 is out of range",
		"float64 = 1e999":            "1:11: not valid TOML: 1e999 is out of range",
		"array = [1, 2,\n 3, 4]":     "1:9: array has 4 elements: write no more than 3",
		"array   =   'x'":            "1:13: array cannot be a string: write a list",
		"grid = [1]":                 "1:9: an element of grid cannot be a whole number: write a list",
		"time = 07:32:00":            "1:8: time: parsing time \"07:32:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"07:32:00\" as \"2006\"",
		"time = 3":                   "1:8: time cannot be a whole number: write a date and time",
		"day = 2021-02-29":           "1:7: not valid TOML: 2021-02-29 is out of range",
		"string = 07:32:00":          "1:10: string cannot be a time of day: write a string",
		"string = { a = 1 }":         "1:10: string cannot be a table: write a string",
		"bool = 0":                   "1:8: bool cannot be a whole number: write true or false",
		"byid.x = 'y'":               "1:6: byid.x cannot be a string: write a whole number",
		"skipped = 1":                "1:1: unknown key skipped: ",
		"reader = 1":                 "1:10: reader cannot be a whole number: write a value for io.Reader",
	} {
		err := Decode(Section(text), new(everything))
		if err == nil || !strings.HasPrefix(err.Error(), "section:"+want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// documents are TOML and texts that are not, by the rules about what may add to what.
var documents = map[string]bool{
	"a.b = 1\na.c = 2":                   true,
	"a = 1\na = 2":                       false,
	"a = 1\na.b = 2":                     false,
	"a.b = 1\na = 2":                     false,
	"[a]\n[a]":                           false,
	"[a.b]\n[a]":                         true,
	"[a.b]\n[a]\n[a]":                    false,
	"[a]\nb.c = 1\n[a.b]":                false,
	"[a]\nb.c = 1\n[a.b.d]":              true,
	"[a.b.c]\nz = 9\n[a]\nb.c.t = 1":     false,
	"[a.b]\n[a]\nb = 1":                  false,
	"a = { b = 1 }\n[a.c]":               false,
	"a = { b = 1 }\na.c = 1":             false,
	"a = { b.c = 1, b.d = 2 }":           true,
	"a = { b = 1, b = 2 }":               false,
	"a = { b = { c = 1 }, b.d = 2 }":     false,
	"[[a]]\n[[a]]\n[a.b]\n[[a]]\n[a.b]":  true,
	"[[a]]\n[a]":                         false,
	"[a]\n[[a]]":                         false,
	"a = []\n[[a]]":                      false,
	"a = [{}]\n[a.b]":                    false,
	"[[a.b]]\n[a]":                       true,
	"[[a]]\nb.c = 1\n[a.b]":              false,
	"[a]\nb = 1\n[a.b]":                  false,
	"'' = 1\n\"\".a = 1":                 false,
	"a.\"b.c\".d = 1\n[a.'b.c'.e]":       true,
	"a = 2020-01-01 1:00:00":             false,
	"a = 01":                             false,
	"a = 1__0":                           false,
	"a = [1, 2":                          false,
	"a = \"\\q\"":                        false,
	"fruit.apple.x = 1\n[fruit]":         false,
	"[x.y.z]\n[x]":                       true,
	"[[x]]\n[x.y]\nz.w = 1\n[[x.y.z.w]]": false,
}

func TestDocuments(t *testing.T) {
	for text, valid := range documents {
		differ(t, text)
		var all map[string]any
		if err := Decode(Section(text), &all); (err == nil) != valid {
			t.Errorf("%q: %v, and valid is %v", text, err, valid)
		}
	}
}

// differ compares what a text is here with what the library's own decoder makes of it.
func differ(t *testing.T, text string) {
	t.Helper()
	var got, want map[string]any
	gotErr := Decode(Section(text), &got)
	wantErr := toml.Unmarshal([]byte(strings.TrimPrefix(text, "\uFEFF")), &want)
	switch {
	case gotErr == nil && wantErr != nil:
		t.Errorf("%q is not TOML: %v", text, wantErr)
	case gotErr != nil && wantErr == nil:
		t.Errorf("%q is TOML: %v", text, gotErr)
	case gotErr == nil && fmt.Sprint(got) != fmt.Sprint(theirs(want)):
		t.Errorf("%q is %v, want %v", text, got, theirs(want))
	}
}

// theirs turns the library's own types into those that are used here.
func theirs(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, elem := range v {
			v[k] = theirs(elem)
		}
	case []any:
		for i, elem := range v {
			v[i] = theirs(elem)
		}
	case toml.LocalDate:
		return v.AsTime(time.Local)
	case toml.LocalDateTime:
		return v.AsTime(time.Local)
	case toml.LocalTime:
		return time.Date(0, 1, 1, v.Hour, v.Minute, v.Second, v.Nanosecond, time.Local)
	}
	return v
}
