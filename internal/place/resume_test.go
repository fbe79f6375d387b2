package place

import (
	"reflect"
	"testing"
)

// TestResumeKeys: keys stay where the latest assignment has them that anybody was told of.
func TestResumeKeys(t *testing.T) {
	components := []Component{{Name: "A", Main: true, Listeners: []string{"web"}, Refs: []string{"B"}}, {Name: "B", Routed: true}}
	plan, err := NewPlan(components, withRest(components, nil), map[string]int{"": 2})
	if err != nil {
		t.Fatal(err)
	}
	one, both := []string{"tcp://1"}, []string{"tcp://1", "tcp://2"}
	first := Assignment{}.Reassign(one, nil)
	second := first.Reassign(both, nil)
	hosted := []Hosted{
		{Replica{"a", 0}, "", []Route{{Component: "B", Addresses: both, Assignment: second}}},
		{Replica{"a", 1}, "", []Route{{Component: "B", Addresses: one, Assignment: first}}},
		{Replica{"b", 0}, "tcp://1", nil},
		{Replica{"b", 1}, "tcp://2", nil},
	}
	_, actions := Resume(plan, hosted)
	want := []Action{Route{To: Replica{"a", 1}, Component: "B", Addresses: both, Assignment: second}}
	if !reflect.DeepEqual(actions, want) {
		t.Errorf("got  %+v\nwant %+v", actions, want)
	}
}
