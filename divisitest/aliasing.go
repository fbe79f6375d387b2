package divisitest

import (
	"reflect"
	"sync"
	"testing"
)

// shared keeps copies of what methods marked //divisi:shared have handed over, to see whether it
// was changed afterwards.
type shared struct {
	mu     sync.Mutex // guards values
	values []sharedValue
}

type sharedValue struct {
	method string
	before []any
	copies func() []any // of what it is now
}

// add notes values that are handed over.
func (s *shared) add(method string, copies func() []any) {
	v := sharedValue{method: method, before: copies(), copies: copies}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, v)
}

// check fails the test for every method some of whose values have changed.
func (s *shared) check(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	told := map[string]bool{}
	for _, v := range s.values {
		now := v.copies()
		for i := range now {
			if told[v.method] || reflect.DeepEqual(v.before[i], now[i]) {
				continue
			}
			told[v.method] = true
			t.Errorf("%s shares memory that was changed after it was handed over, which other "+
				"processes would not see: copy it before the change, or take //divisi:shared "+
				"away from the method\nbefore: %+v\nafter:  %+v", v.method, v.before[i], now[i])
		}
	}
}
