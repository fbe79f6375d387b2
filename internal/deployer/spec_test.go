package deployer

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/config"
)

// shop returns the specification of the largest example.
func shop(t *testing.T) Spec {
	t.Helper()
	toml, err := os.ReadFile("../../examples/shop/shop.toml")
	if err != nil {
		t.Fatal(err)
	}
	return specOf(t, "shop", string(toml))
}

// fill gives everything in a value something to say, and nothing what anything else says. What has an
// order or a name has two of a kind.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%d <&> \u2028 %q", *n, "é"))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, n)
			fill(t, value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for f := range v.Type().Fields() {
			if !f.IsExported() {
				t.Fatalf("%v.%s would not be in a record", v.Type(), f.Name)
			}
			fill(t, v.FieldByIndex(f.Index), n)
		}
	default:
		t.Fatalf("%v: add it here", v.Type())
	}
}

// full returns a specification that says something of everything.
func full(t *testing.T) Spec {
	t.Helper()
	var spec Spec
	fill(t, reflect.ValueOf(&spec).Elem(), new(int))
	return spec
}

// TestSpecAsRecord: a specification that was written to a record is the same when it is read.
func TestSpecAsRecord(t *testing.T) {
	for what, spec := range map[string]Spec{
		"nothing": {},
		"without anything in it": {
			Components: []codegen.Info{{Refs: []string{}}}, Replicas: map[string]int{},
			Config: config.App{Args: []string{}, Groups: []config.Group{}, Sections: map[string]config.Section{}},
		},
		"everything": full(t),
		"hello":      specOf(t, "hello", ""),
		"shop":       shop(t),
	} {
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var again Spec
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, spec) {
			t.Errorf("%s: got %+v, %v, want %+v\n%s", what, again, err, spec, text)
		}

		var record struct{ Binary string }
		if err := json.Unmarshal(text, &record); err != nil || record.Binary != spec.Binary {
			t.Errorf("%s: the program in it is %q, %v, want %q", what, record.Binary, err, spec.Binary)
		}
	}
}
