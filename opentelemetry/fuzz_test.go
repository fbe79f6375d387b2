package opentelemetry

import (
	"bytes"
	"testing"

	"github.com/divisi-go/divisi/envelope/protos"
)

// FuzzSpan: whatever span a weavelet sends can be exported, and what is exported stays the same if it
// is sent again.
func FuzzSpan(f *testing.F) {
	f.Add(protos.Marshal(fromSDK(stub().Snapshot())))
	f.Add(protos.Marshal(&protos.Span{TraceId: []byte{1}, SpanId: make([]byte, 99), Kind: -1, Links: []*protos.Span_Link{{}}}))
	f.Add(protos.Marshal(&protos.Span{Attributes: []*protos.Span_Attribute{{Key: "k", Value: &protos.Span_Attribute_Value{
		Type: protos.Span_Attribute_Value_STRINGLIST}}}, StartMicros: 1 << 62, Status: &protos.Span_Status{Code: 99}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m protos.Span
		if protos.Unmarshal(data, &m) != nil {
			return
		}
		sent := toSDK(&m)
		valid := len(m.TraceId) == 16 && len(m.SpanId) == 8 && !bytes.Equal(m.TraceId, make([]byte, 16)) && !bytes.Equal(m.SpanId, make([]byte, 8))
		if sent.SpanContext().IsValid() != valid || len(sent.Links()) != len(m.Links) || len(sent.Events()) != len(m.Events) {
			t.Errorf("%+v is exported as %+v", &m, sent)
		}
		once := fromSDK(sent)
		if twice := fromSDK(toSDK(once)); !bytes.Equal(protos.Marshal(once), protos.Marshal(twice)) {
			t.Errorf("%+v becomes %+v", once, twice)
		}
	})
}
