package telemetry

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/divisi-go/divisi/internal/control"
)

func TestMergeProfiles(t *testing.T) {
	one := func(function string, value int64) []byte {
		f := &profile.Function{ID: 1, Name: function}
		l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f}}}
		p := &profile.Profile{
			SampleType: []*profile.ValueType{{Type: "cpu", Unit: "ns"}}, Function: []*profile.Function{f},
			Location: []*profile.Location{l}, Sample: []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{value}}},
		}
		var b bytes.Buffer
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	merged, err := MergeProfiles([]control.ReplicaProfile{
		{Name: "a", Profile: one("hot", 3)}, {Name: "b", Profile: one("hot", 4)}, {Name: "c", Profile: one("cold", 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, s := range merged.Sample {
		got[s.Location[0].Line[0].Function.Name] = s.Value[0]
	}
	if want := map[string]int64{"hot": 7, "cold": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	damaged := []control.ReplicaProfile{{Name: "a", Profile: []byte("x")}}
	if _, err := MergeProfiles(damaged); err == nil || !strings.Contains(err.Error(), "the profile of a is damaged") {
		t.Errorf("got %v", err)
	}
}
