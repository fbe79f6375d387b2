package conformance

import (
	"reflect"
	"testing"

	theirs "github.com/ServiceWeaver/weaver/runtime/protos"

	ours "github.com/divisi-go/divisi/envelope/protos"
)

// TestJSONNames: deployers that write messages as JSON write the same names as with v0.20.
func TestJSONNames(t *testing.T) {
	seen := map[reflect.Type]bool{}
	for _, pair := range [][2]any{
		{theirs.EnvelopeMsg{}, ours.EnvelopeMsg{}},
		{theirs.WeaveletMsg{}, ours.WeaveletMsg{}},
		{theirs.MetricSnapshot{}, ours.MetricSnapshot{}},
		{theirs.AppConfig{}, ours.AppConfig{}},
	} {
		compareTags(t, reflect.TypeOf(pair[0]), reflect.TypeOf(pair[1]), seen)
	}
	if len(seen) < 40 {
		t.Errorf("only %d types of messages were seen", len(seen))
	}
}

func compareTags(t *testing.T, theirs, ours reflect.Type, seen map[reflect.Type]bool) {
	for isContainer(theirs) && theirs.Kind() == ours.Kind() {
		theirs, ours = theirs.Elem(), ours.Elem()
	}
	if theirs.Kind() != reflect.Struct || seen[theirs] {
		return
	}
	seen[theirs] = true
	for field := range theirs.Fields() {
		want, ok := field.Tag.Lookup("json")
		if !field.IsExported() || !ok {
			continue // the runtime's own, and a oneof
		}
		mine, ok := ours.FieldByName(field.Name)
		if !ok {
			t.Errorf("%v lacks the field %s", ours, field.Name)
			continue
		}
		if got := mine.Tag.Get("json"); got != want {
			t.Errorf("%v.%s has the JSON tag %q, want %q", ours, field.Name, got, want)
		}
		compareTags(t, field.Type, mine.Type, seen)
	}
}

func isContainer(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map
}
