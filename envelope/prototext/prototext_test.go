package prototext

import (
	"math"
	"testing"

	"github.com/divisi-go/divisi/internal/message"
)

func TestFormat(t *testing.T) {
	for want, m := range map[string]message.Message{
		"": &message.EnvelopeMsg{},
		`id: -42
get_health_reply: {
  status: HEALTHY
}
`: &message.WeaveletMsg{Id: -42, GetHealthReply: &message.GetHealthReply{Status: message.HealthStatus_HEALTHY}},
		`name: "shop"
args: "-v"
args: "a \"b\"\n"
colocate: {
  components: "a"
  components: "b"
}
rollout_nanos: 5
sections: {
  key: "x"
  value: "1"
}
sections: {
  key: "y"
  value: ""
}
`: &message.AppConfig{
			Name: "shop", Args: []string{"-v", "a \"b\"\n"}, RolloutNanos: 5,
			Colocate: []*message.ComponentGroup{{Components: []string{"a", "b"}}},
			Sections: map[string]string{"y": "", "x": "1"},
		},
		`id: 1
get_health_request: {}
`: &message.EnvelopeMsg{Id: 1, GetHealthRequest: &message.GetHealthRequest{}},
		`bounds: -1.5
bounds: inf
bounds: nan
value: 1e+300
`: &message.MetricSnapshot{Bounds: []float64{-1.5, math.Inf(1), math.NaN()}, Value: 1e300},
		`cert: "\x00\xff"
`: &message.GetSelfCertificateReply{Cert: []byte{0, 0xff}},
	} {
		if got := Format(m); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	}
}
