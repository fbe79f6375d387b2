package message

import (
	"encoding/hex"
	"math"
	"reflect"
	"testing"
)

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

// golden are the bodies of messages as Service Weaver v0.20.0 exchanges them (its example hello,
// and an envelope written by hand), and others with every kind of field, by the rules of the
// Protocol Buffers encoding.
var golden = []struct {
	name, hex string
	message   Message
}{
	{
		"handshake of the envelope",
		"1260" + "0a03" + hexOf("app") + "1224" + hexOf("11111111-1111-1111-1111-111111111111") +
			"1a24" + hexOf("22222222-2222-2222-2222-222222222222") + "3801" + "520b" + hexOf("localhost:0"),
		&EnvelopeMsg{EnvelopeInfo: &EnvelopeInfo{
			App:             "app",
			DeploymentId:    "11111111-1111-1111-1111-111111111111",
			Id:              "22222222-2222-2222-2222-222222222222",
			RunMain:         true,
			InternalAddress: "localhost:0",
		}},
	},
	{
		"handshake of the weavelet",
		"121b" + "0a15" + hexOf("tcp://127.0.0.1:41289") + "1a02" + "1014",
		&WeaveletMsg{WeaveletInfo: &WeaveletInfo{
			DialAddr: "tcp://127.0.0.1:41289", Version: &SemVer{Minor: 20},
		}},
	},
	{
		"first request of the weavelet",
		"0801" + "6239" + "0a37" + hexOf("github.com/ServiceWeaver/weaver/examples/hello/Reverser"),
		&WeaveletMsg{Id: 1, ActivateComponentRequest: &ActivateComponentRequest{
			Component: "github.com/ServiceWeaver/weaver/examples/hello/Reverser",
		}},
	},
	{"request 42", "082a" + "1a00", &EnvelopeMsg{Id: 42, GetHealthRequest: &GetHealthRequest{}}},
	{
		"its reply", "08d6ffffffffffffffff01" + "3202" + "0801",
		&WeaveletMsg{Id: -42, GetHealthReply: &GetHealthReply{Status: HealthStatus_HEALTHY}},
	},
	{
		"a negative fixed number and a negative int32",
		"1a1d" + "29feffffffffffffff" + "40ffffffffffffffffff01" + "4a03" + hexOf("msg") + "5200" + "5200",
		&WeaveletMsg{LogEntry: &LogEntry{TimeMicros: -2, Line: -1, Msg: "msg", Attrs: []string{"", ""}}},
	},
	{
		"a map in the order of its keys, and doubles",
		"0a26" + "0807" + "1803" + "2a06" + "0a0161" + "120162" + "2a06" + "0a0163" + "120164" +
			"3210" + "000000000000f03f" + "000000000000f07f",
		&MetricUpdate{Defs: []*MetricDef{{
			Id: 7, Typ: MetricType_HISTOGRAM, Labels: map[string]string{"c": "d", "a": "b"},
			Bounds: []float64{1, math.Inf(1)},
		}}},
	},
	{
		"packed numbers, and one that is -0",
		"120e" + "110000000000000080" + "1a03" + "01" + "ac02",
		&MetricUpdate{Values: []*MetricValue{{Value: math.Copysign(0, -1), Counts: []uint64{1, 300}}}},
	},
	{
		"a chain of certificates, with an empty one",
		"8201" + "0c" + "0a02" + "ff00" + "0a00" + "1204" + hexOf("Cart"),
		&WeaveletMsg{VerifyServerCertificateRequest: &VerifyServerCertificateRequest{
			CertChain: [][]byte{{0xff, 0}, {}}, TargetComponent: "Cart",
		}},
	},
	{
		"a map of messages",
		"0a12" + "0a04" + hexOf("Cart") + "120a" + "0a06" + "1001" + "2202" + "0805" + "1003",
		&LoadReport{Loads: map[string]*LoadReport_ComponentLoad{"Cart": {
			Load:    []*LoadReport_SliceLoad{{End: 1, Splits: []*LoadReport_SubsliceLoad{{Start: 5}}}},
			Version: 3,
		}}},
	},
	{
		"a list of strings, whose number is not 1",
		"0a016b" + "1207" + "0808" + "2a03" + "120161",
		&Span_Attribute{Key: "k", Value: &Span_Attribute_Value{
			Type: Span_Attribute_Value_STRINGLIST,
			Strs: &Span_Attribute_Value_StringList{Strs: []string{"a"}},
		}},
	},
	{
		"a oneof whose value is zero, and one that is empty",
		"4209" + "0a0162" + "1204" + "0801" + "1000" + "4209" + "0a0173" + "1204" + "0804" + "1a00",
		&Span{Attributes: []*Span_Attribute{
			{Key: "b", Value: &Span_Attribute_Value{Type: Span_Attribute_Value_BOOL}},
			{Key: "s", Value: &Span_Attribute_Value{Type: Span_Attribute_Value_STRING}},
		}},
	},
	{
		"an empty key and an empty value in a map",
		"3a04" + "0a00" + "1200",
		&AppConfig{Sections: map[string]string{"": ""}},
	},
	{
		"extensions have numbers from 1000 on",
		"3207" + "c03e01" + "ca3e01" + "78",
		&WeaveletMsg{GetHealthReply: &GetHealthReply{Ready: true, HealthyComponents: []string{"x"}}},
	},
	{
		"a deployer that takes over", "1207" + "c23e01" + "78" + "d83e" + "07",
		&EnvelopeMsg{EnvelopeInfo: &EnvelopeInfo{Features: []string{"x"}, Epoch: 7}},
	},
	{
		"and what it is told",
		"122d" + "0a0161" + "ca3e02" + hexOf("w1") + "d23e0141" +
			"da3e0e" + "0a0142" + "1a09" + hexOf("tcp://b:1") + "e23e0a" + "0a03" + hexOf("web") + "1203" + hexOf("h:1") + "e83e01",
		&WeaveletMsg{WeaveletInfo: &WeaveletInfo{
			DialAddr: "a", Id: "w1", Components: []string{"A"},
			Routes:    []*RoutingInfo{{Component: "B", Replicas: []string{"tcp://b:1"}}},
			Listeners: []*ExportListenerRequest{{Listener: "web", Address: "h:1"}},
			Draining:  true,
		}},
	},
}

// TestGolden goes both ways.
func TestGolden(t *testing.T) {
	for _, tc := range golden {
		got := hex.EncodeToString(Marshal(tc.message))
		if got != tc.hex {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.hex)
		}
		data, err := hex.DecodeString(tc.hex)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(tc.message).Elem())
		if err := Unmarshal(data, back.Interface().(Message)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if !reflect.DeepEqual(back.Interface(), tc.message) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tc.name, back, tc.message)
		}
	}
}
