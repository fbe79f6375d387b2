package door

import (
	"context"
	"errors"
	"net"
)

// Variable is the variable that makes a program a keeper. It has the path of the state folder.
const Variable = "DIVISI_KEEPER"

// ErrNone is the error when no keeper runs.
var ErrNone = errors.New("no keeper runs")

// Way leads to the keeper of another host.
type Way interface {
	Dial(context.Context) (net.Conn, error) // to its door
	Start(context.Context) error            // has a keeper run there, if none does
	String() string                         // the host, for people
}
