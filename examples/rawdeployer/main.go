// Rawdeployer is a deployer that uses nothing but pipes and the bytes of the envelope protocol: it
// starts an application, shakes hands, asks for its health, and prints what it says. It gives the
// application nothing that it asks for; it shows that the protocol needs no library.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// weavelet is a process of the application, and the deployer's ends of the pipes.
type weavelet struct {
	cmd     *exec.Cmd
	in, out *os.File
}

// start starts a weavelet. Its environment says which descriptors are its ends of the pipes, and
// nothing else.
func start(program string) (*weavelet, error) {
	itsIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer itsIn.Close()
	out, itsOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer itsOut.Close()
	cmd := exec.Command(program)
	cmd.Stderr = os.Stderr
	cmd.Env = []string{"ENVELOPE_TO_WEAVELET_FD=3", "WEAVELET_TO_ENVELOPE_FD=4"}
	cmd.ExtraFiles = []*os.File{itsIn, itsOut}
	return &weavelet{cmd, in, out}, cmd.Start()
}

// stop ends the weavelet.
func (w *weavelet) stop() {
	w.cmd.Process.Kill()
	w.cmd.Wait()
}

// send sends a message after its length.
func (w *weavelet) send(message []byte) error {
	frame := binary.LittleEndian.AppendUint32(nil, uint32(len(message)))
	_, err := w.in.Write(append(frame, message...))
	return err
}

// maxMessage is the most that is taken at a weavelet's word.
const maxMessage = 64 << 20

// receive receives a message, and returns what its fields hold.
func (w *weavelet) receive() (map[uint64]value, error) {
	var size uint32
	if err := binary.Read(w.out, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	if size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes: they have no more than %d", size, maxMessage)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(w.out, message); err != nil {
		return nil, err
	}
	return fields(message)
}

// number appends a field with a number to a message.
func number(message []byte, field, n uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(message, field<<3), n)
}

// text appends a field with a string, or with another message.
func text(message []byte, field uint64, s string) []byte {
	message = binary.AppendUvarint(message, field<<3|2)
	return append(binary.AppendUvarint(message, uint64(len(s))), s...)
}

// value is what a field holds: a number or else a text, which may be another message.
type value struct {
	number int64
	text   string
}

// fields takes a message apart. Of a repeated field it returns the last value.
func fields(message []byte) (map[uint64]value, error) {
	all := map[uint64]value{}
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		message = message[max(n, 0):]
		size := uint64(8) // of a fixed number
		if tag&7 != 1 {
			size, n = binary.Uvarint(message)
			message = message[max(n, 0):]
		}
		if tag&7 == 0 {
			all[tag>>3] = value{number: int64(size)}
			size = 0
		}
		if n <= 0 || tag&7 > 2 || size > uint64(len(message)) {
			return nil, errors.New("what the weavelet sends is no message")
		}
		if tag&7 == 2 {
			all[tag>>3] = value{text: string(message[:size])}
		}
		message = message[size:]
	}
	return all, nil
}

// hello returns the first message: who the weavelet is, and that its main component runs there.
func hello() []byte {
	info := text(nil, 1, "app")
	info = text(info, 2, "11111111-1111-1111-1111-111111111111") // the deployment
	info = text(info, 3, "22222222-2222-2222-2222-222222222222") // the weavelet
	info = number(info, 7, 1)                                    // run the main component
	info = text(info, 10, "localhost:0")                         // where to listen for calls
	return text(nil, 2, string(info))
}

// health returns a request for the weavelet's health.
func health(id uint64) []byte { return text(number(nil, 1, id), 3, "") }

// deploy converses with a program until it has answered the request 42.
func deploy(program string, out io.Writer) error {
	w, err := start(program)
	if err != nil {
		return err
	}
	defer w.stop()
	for err = w.send(hello()); err == nil; {
		var m map[uint64]value
		if m, err = w.receive(); err != nil {
			break
		}
		id := m[1].number
		for field, v := range m {
			inner, _ := fields([]byte(v.text)) // nothing, if it is no message
			switch field {
			case 2:
				fmt.Fprintln(out, "the weavelet is at", inner[1].text)
				err = w.send(health(42))
			case 3:
				fmt.Fprintln(out, "log:", inner[9].text)
			case 6:
				fmt.Fprintf(out, "reply %d: health %d\n", id, inner[1].number)
				return nil
			case 12:
				fmt.Fprintf(out, "request %d: activate %s\n", id, inner[1].text)
			}
		}
	}
	return err
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rawdeployer PROGRAM")
		os.Exit(2)
	}
	if err := deploy(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rawdeployer:", err)
		os.Exit(1)
	}
}
