package deployer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/artifact"
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

// meaningless are the members that change nothing of what a version is: what tells deployments apart,
// where files were, what the program says itself, what other deployers read, and how a version comes about.
var meaningless = []string{
	"Version", "Arg0", "Components",
	"Config.File", "Config.Name", "Config.Binary", "Config.Ignored", "Config.Single", "Config.Rollout", "Config.Orphan",
}

// change calls f once for each thing that a value says, while the value says something else of that. Paths
// are like "Config.Groups.Name".
func change(t *testing.T, v reflect.Value, path string, f func(path string)) {
	t.Helper()
	switch v.Kind() {
	case reflect.String, reflect.Int, reflect.Int64, reflect.Bool:
		before := reflect.ValueOf(v.Interface())
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + " ")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		default:
			v.SetInt(v.Int() + 1)
		}
		f(path)
		v.Set(before)
	case reflect.Slice:
		for i := range v.Len() {
			change(t, v.Index(i), path, f)
		}
		before := reflect.ValueOf(v.Interface())
		v.Set(before.Slice(0, 1))
		f(path)
		v.Set(reflect.MakeSlice(v.Type(), 0, 2))
		v.Set(reflect.Append(v, before.Index(1), before.Index(0))) // in the other order
		f(path)
		v.Set(before)
	case reflect.Map:
		for _, key := range v.MapKeys() {
			before, value := v.MapIndex(key), reflect.New(v.Type().Elem()).Elem()
			value.Set(before)
			change(t, value, path, func(path string) {
				v.SetMapIndex(key, value)
				f(path)
			})
			v.SetMapIndex(key, reflect.Value{})
			f(path)
			v.SetMapIndex(key, before)
		}
	case reflect.Struct:
		for field := range v.Type().Fields() {
			change(t, v.FieldByIndex(field.Index), strings.TrimPrefix(path+"."+field.Name, "."), f)
		}
	default:
		t.Fatalf("%v: add it here", v.Type())
	}
}

func digest(t *testing.T, spec Spec) string {
	t.Helper()
	d, err := spec.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDigest: every change of what a version is changes its digest, and nothing else does.
func TestDigest(t *testing.T) {
	spec := full(t)
	programs := t.TempDir()
	spec.Binary = filepath.Join(programs, "shop")
	if err := os.WriteFile(spec.Binary, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := digest(t, spec)
	if len(want) != 16 {
		t.Errorf("the digest is %q", want)
	}

	seen := map[string]string{want: "nothing"}
	change(t, reflect.ValueOf(&spec).Elem(), "", func(path string) {
		if path == "Binary" {
			return // what counts is what is in it
		}
		listed := slices.ContainsFunc(meaningless, func(m string) bool { return path == m || strings.HasPrefix(path, m+".") })
		got := digest(t, spec)
		switch other, same := seen[got]; {
		case listed && got != want:
			t.Errorf("%s changes the digest", path)
		case !listed && same:
			t.Errorf("%s and %s have the digest %s: what means nothing is listed", path, other, got)
		}
		seen[got] = path
	})
	if got := digest(t, spec); got != want {
		t.Errorf("changed back, the digest is %s, not %s", got, want)
	}
}

// TestDigestOfProgram: what counts of a program is what is in it.
func TestDigestOfProgram(t *testing.T) {
	dir := t.TempDir()
	program := func(name, text string) Spec {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return Spec{Name: "shop", Binary: file}
	}
	one := program("one", "same")
	store := artifact.NewStore(filepath.Join(dir, "cas"), nil)
	kept, err := store.Copy(one.Binary)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Release()

	want := digest(t, one)
	if got := digest(t, program("two", "same")); got != want {
		t.Errorf("under another name it has the digest %s, want %s", got, want)
	}
	if got := digest(t, Spec{Name: "shop", Binary: kept.Path}); got != want {
		t.Errorf("in a store it has the digest %s, want %s", got, want)
	}
	if got := digest(t, program("one", "another")); got == want {
		t.Errorf("another program has the digest %s, too", got)
	}
	if _, err := (Spec{Binary: filepath.Join(dir, "none")}).Digest(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestDigestOfFile: how a configuration is written, and where it is, does not count, nor that it was
// written to a record and read again.
func TestDigestOfFile(t *testing.T) {
	spec := shop(t)
	want := digest(t, spec)
	toml, err := os.ReadFile("../../examples/shop/shop.toml")
	if err != nil {
		t.Fatal(err)
	}
	moved := specOf(t, "shop", "# More comments.\n\n"+strings.ReplaceAll(string(toml), " = ", "  =  "))
	moved.Config.File = "elsewhere.toml"
	if got := digest(t, moved); got != want {
		t.Errorf("written in another way it has the digest %s, want %s", got, want)
	}

	text, err := json.Marshal(spec)
	var again Spec
	if err := errors.Join(err, json.Unmarshal(text, &again)); err != nil {
		t.Fatal(err)
	}
	if got := digest(t, again); got != want {
		t.Errorf("read again it has the digest %s, want %s", got, want)
	}
	if got := digest(t, specOf(t, "shop", strings.ReplaceAll(string(toml), "an example key", "my key"))); got == want {
		t.Errorf("with another section of a component it has the digest %s, too", got)
	}
}
