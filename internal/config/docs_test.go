package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestDocument: docs/configuration.md names every key and every table.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, table := range []reflect.Type{
		reflect.TypeFor[divisiTable](), reflect.TypeFor[Restart](), reflect.TypeFor[Process](), reflect.TypeFor[Single](),
	} {
		names = append(names, fieldNames(table)...)
	}
	for _, head := range fieldNames(reflect.TypeFor[tables]()) {
		names = append(names, "["+head+"]")
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/configuration.md does not explain `%s`", name)
		}
	}
}
