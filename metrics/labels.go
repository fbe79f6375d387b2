package metrics

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// family is the metrics of one name by their labels, of type M. Readers use a frozen map. A
// look-up that misses it takes the lock. Once as many look-ups have missed as there are entries, all
// entries are copied to a new frozen map: in the long run that is O(1) copies for each entry.
type family[L comparable, M any] struct {
	name   string
	label  func(L) []Label
	metric func([]Label) *M
	frozen atomic.Pointer[map[L]*M]
	mu     sync.Mutex
	all    map[L]*M // guarded by mu
	misses int      // guarded by mu
}

func (f *family[L, M]) prepare(name string, label func(L) []Label, metric func([]Label) *M) {
	f.name, f.label, f.metric, f.all = name, label, metric, map[L]*M{}
}

// Name returns the name of the metrics.
func (f *family[L, M]) Name() string { return f.name }

func (f *family[L, M]) get(labels L) *M {
	if frozen := f.frozen.Load(); frozen != nil {
		if m, ok := (*frozen)[labels]; ok {
			return m
		}
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.all[labels]
	if !ok {
		m = f.metric(f.label(labels))
		f.all[labels] = m
	}
	if f.misses++; f.misses >= len(f.all) {
		frozen := maps.Clone(f.all)
		f.frozen.Store(&frozen)
		f.misses = 0
	}
	return m
}

// mustLabel is labeler for the metric of the given name. It panics; see Registry.define.
func mustLabel[L comparable](metric string) func(L) []Label {
	label, err := labeler(reflect.TypeFor[L]())
	if err != nil {
		panic(fmt.Sprintf("metrics: cannot make %q: %v", metric, err))
	}
	return func(labels L) []Label { return label(reflect.ValueOf(labels)) }
}

// labeler returns a function from values of a type to labels, sorted by name, or an error if it
// cannot be labels.
func labeler(t reflect.Type) (func(reflect.Value) []Label, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("labels %v are not a struct", t)
	}
	fields := map[string]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := labelName(f)
		other, twice := fields[name]
		switch {
		case !f.IsExported():
			return nil, fmt.Errorf("field %s of labels %v is not exported", f.Name, t)
		case !isLabelType(f.Type):
			return nil, fmt.Errorf("field %s of labels %v has type %v: "+
				"labels are strings, bools and integers", f.Name, t, f.Type)
		case name != sanitize(name, false):
			return nil, fmt.Errorf("field %s of labels %v has the name %q: "+
				"use ASCII letters, digits and underscores", f.Name, t, name)
		case name == "le":
			return nil, fmt.Errorf("field %s of labels %v has the name %q, "+
				"which is that of the buckets of histograms", f.Name, t, name)
		case twice:
			return nil, fmt.Errorf("fields %s and %s of labels %v have the same name %q",
				t.Field(other).Name, f.Name, t, name)
		}
		fields[name] = i
	}
	names := slices.Sorted(maps.Keys(fields))
	return func(labels reflect.Value) []Label {
		row := make([]Label, len(names))
		for i, name := range names {
			row[i] = Label{Name: name, Value: labelValue(labels.Field(fields[name]))}
		}
		return row
	}, nil
}

func labelName(f reflect.StructField) string {
	for _, tag := range []string{"divisi", "weaver"} {
		if name, ok := f.Tag.Lookup(tag); ok {
			return name
		}
	}
	first, size := utf8.DecodeRuneInString(f.Name)
	return string(unicode.ToLower(first)) + f.Name[size:]
}

// labelValue passes over String methods: they could make one label of two values.
func labelValue(v reflect.Value) string {
	switch {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return v.String()
}

func isLabelType(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}
