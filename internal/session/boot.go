package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/divisi-go/divisi/internal/message"
)

// Boot is what a weavelet starts from that finds no deployer: what the last one would say to it.
type Boot struct {
	Info       *message.EnvelopeInfo
	Components []string
	Routes     []*message.RoutingInfo // of all components that those use

	// Certificate is what it proves itself by, with mutual TLS. It is secret, and so it is not in the record.
	Certificate *message.GetSelfCertificateReply
}

const (
	// bootTime is how long a weavelet that can start without a deployer waits for one.
	bootTime = time.Second

	// maxBoot bounds a record, in bytes.
	maxBoot = 1 << 20
)

// ReadBoot reads a record: the frames that an envelope would send, up to the end of r.
func ReadBoot(r io.Reader) (*Boot, error) {
	var b Boot
	limited := &io.LimitedReader{R: r, N: maxBoot}
	for {
		var m message.EnvelopeMsg
		_, err := message.Read(limited, &m)
		switch {
		case err == io.EOF:
			return b.checked()
		case err != nil && limited.N == 0:
			return nil, fmt.Errorf("the boot record has more than %d bytes", maxBoot)
		case err != nil:
			return nil, fmt.Errorf("cannot read the boot record: %w", err)
		}

		switch {
		case m.EnvelopeInfo != nil:
			b.Info = m.EnvelopeInfo
		case m.UpdateComponentsRequest != nil:
			b.Components = append(b.Components, m.UpdateComponentsRequest.Components...)
		case m.UpdateRoutingInfoRequest != nil && m.UpdateRoutingInfoRequest.RoutingInfo != nil:
			b.Routes = append(b.Routes, m.UpdateRoutingInfoRequest.RoutingInfo)
		}
	}
}

// checked returns the record if a weavelet can start from it.
func (b *Boot) checked() (*Boot, error) {
	switch {
	case b.Info == nil:
		return nil, errors.New("the boot record lacks an EnvelopeInfo")
	case b.Info.App == "" || b.Info.DeploymentId == "" || b.Info.Id == "" || len(b.Info.Features) == 0:
		return nil, errors.New("the EnvelopeInfo of the boot record lacks the application, the deployment, the id, or features")
	}
	return b, nil
}

// Write writes a record as ReadBoot reads it.
func (b *Boot) Write(w io.Writer) error {
	frames := []*message.EnvelopeMsg{
		{EnvelopeInfo: b.Info}, {UpdateComponentsRequest: &message.UpdateComponentsRequest{Components: b.Components}},
	}
	for _, route := range b.Routes {
		frames = append(frames, &message.EnvelopeMsg{
			UpdateRoutingInfoRequest: &message.UpdateRoutingInfoRequest{RoutingInfo: route},
		})
	}
	for _, frame := range frames {
		if err := message.Write(w, frame); err != nil {
			return err
		}
	}
	return nil
}

// Save writes the record to a file, of which nobody ever reads half.
func (b *Boot) Save(path string) error {
	var text bytes.Buffer
	if err := b.Write(&text); err != nil {
		return err
	}
	if text.Len() > maxBoot {
		return fmt.Errorf("the boot record has more than %d bytes", maxBoot)
	}

	next := path + "~"
	if err := os.WriteFile(next, text.Bytes(), 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return nil
}

// WriteCertificate writes what ReadCertificate reads.
func WriteCertificate(w io.Writer, reply *message.GetSelfCertificateReply) error {
	return message.Write(w, &message.EnvelopeMsg{GetSelfCertificateReply: reply})
}

// ReadCertificate reads what a weavelet proves itself by that finds no deployer: the frame by which the
// last one answered the question for a certificate.
func ReadCertificate(r io.Reader) (*message.GetSelfCertificateReply, error) {
	var m message.EnvelopeMsg
	_, err := message.Read(io.LimitReader(r, maxBoot), &m)
	if err == nil && m.GetSelfCertificateReply == nil {
		err = errors.New("it has none")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate for a start without a deployer: %w", err)
	}
	return m.GetSelfCertificateReply, nil
}
