package prototext

import (
	"math"
	"testing"

	"github.com/divisi-go/divisi/envelope/protos"
)

func TestFormat(t *testing.T) {
	for want, m := range map[string]protos.Message{
		"": &protos.EnvelopeMsg{},
		`id: -42
get_health_reply: {
  status: HEALTHY
}
`: &protos.WeaveletMsg{Id: -42, GetHealthReply: &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY}},
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
`: &protos.AppConfig{
			Name: "shop", Args: []string{"-v", "a \"b\"\n"}, RolloutNanos: 5,
			Colocate: []*protos.ComponentGroup{{Components: []string{"a", "b"}}},
			Sections: map[string]string{"y": "", "x": "1"},
		},
		`id: 1
get_health_request: {}
`: &protos.EnvelopeMsg{Id: 1, GetHealthRequest: &protos.GetHealthRequest{}},
		`bounds: -1.5
bounds: inf
bounds: nan
value: 1e+300
`: &protos.MetricSnapshot{Bounds: []float64{-1.5, math.Inf(1), math.NaN()}, Value: 1e300},
		`cert: "\x00\xff"
`: &protos.GetSelfCertificateReply{Cert: []byte{0, 0xff}},
	} {
		if got := Format(m); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	}
}
