package opentelemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// spans takes what is exported to it, by HTTP or gRPC.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex // guards all
	all []span
}

// span is one span with whom it is about.
type span struct {
	*v1.Span
	resource map[string]string
	scope    string
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (
	*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range r.ResourceSpans {
		for _, by := range of.ScopeSpans {
			for _, one := range by.Spans {
				s.all = append(s.all, span{one, texts(of.Resource.GetAttributes()), by.Scope.GetName()})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// named returns the spans by their names.
func (s *spans) named() map[string]span {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := map[string]span{}
	for _, one := range s.all {
		name := one.Name
		if one.Kind == v1.Span_SPAN_KIND_CLIENT {
			name += " client"
		}
		named[name] = one
	}
	return named
}

// line returns the names of spans from the root of a trace on, and the ids of a span that does not
// fit.
func line(named map[string]span) (names []string) {
	parent := ""
	for range named {
		for name, s := range named {
			if hex.EncodeToString(s.ParentSpanId) == parent {
				names = append(names, name)
				parent = hex.EncodeToString(s.SpanId)
				break
			}
		}
	}
	return names
}

func texts(attributes []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attributes {
		m[a.Key] = strings.Trim(strings.SplitN(a.Value.String(), ":", 2)[1], `"`)
	}
	return m
}

// serveHTTP returns a collector and the address of its OTLP by HTTP.
func serveHTTP(t *testing.T) (*spans, string) {
	s := &spans{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Error(err)
				return
			}
		}
		var data bytes.Buffer
		var request collector.ExportTraceServiceRequest
		if _, err := data.ReadFrom(body); err != nil {
			t.Error(err)
		} else if err := proto.Unmarshal(data.Bytes(), &request); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		s.Export(r.Context(), &request)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	return s, server.URL
}

// serveGRPC returns a collector and the address of its OTLP by gRPC.
func serveGRPC(t *testing.T) (*spans, string) {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spans{}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}
