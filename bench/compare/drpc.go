package main

import (
	"context"
	"net"

	"google.golang.org/protobuf/proto"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcserver"
	"storj.io/drpc/drpcstream"
	"storj.io/drpc/drpcwire"

	"github.com/divisi-go/divisi/bench/echo/pb"
	"github.com/divisi-go/divisi/bench/load"
)

// drpcProto is what protoc-gen-go-drpc would make.
type drpcProto struct{}

func (drpcProto) Marshal(m drpc.Message) ([]byte, error) { return proto.Marshal(m.(proto.Message)) }
func (drpcProto) Unmarshal(b []byte, m drpc.Message) error {
	return proto.Unmarshal(b, m.(proto.Message))
}

// drpcEcho answers calls.
type drpcEcho struct{}

func (drpcEcho) HandleRPC(s drpc.Stream, method string) error {
	var m proto.Message
	switch method {
	case "Null":
		m = new(pb.Empty)
	case "Message":
		m = new(pb.Message)
	default:
		m = new(pb.Blob)
	}
	if err := s.MsgRecv(m, drpcProto{}); err != nil {
		return err
	}
	return s.MsgSend(m, drpcProto{})
}

// drpcOptions allow messages of 1 MB.
var drpcOptions = drpcmanager.Options{
	Reader: drpcwire.ReaderOptions{MaximumBufferSize: most},
	Stream: drpcstream.Options{MaximumBufferSize: most},
}

func serveDRPC(l net.Listener) error {
	return drpcserver.NewWithOptions(drpcEcho{}, drpcserver.Options{Manager: drpcOptions}).Serve(context.Background(), l)
}

func connectDRPC(e endpoint) (func() (load.Caller, error), error) {
	return func() (load.Caller, error) {
		socket, err := e.dial(context.Background())
		if err != nil {
			return nil, err
		}
		conn := drpcconn.NewWithOptions(socket, drpcconn.Options{Manager: drpcOptions})
		m := pb.Of(load.NewMessage())
		return func(ctx context.Context, p load.Payload) error {
			switch p {
			case load.Nothing:
				return conn.Invoke(ctx, "Null", drpcProto{}, &pb.Empty{}, new(pb.Empty))
			case load.Struct:
				return conn.Invoke(ctx, "Message", drpcProto{}, m, new(pb.Message))
			}
			return conn.Invoke(ctx, "Bytes", drpcProto{}, &pb.Blob{Data: p.Bytes()}, new(pb.Blob))
		}, nil
	}, nil
}
