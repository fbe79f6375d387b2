package event

import (
	"encoding/json"
	"fmt"
	"time"
)

// Record is an event and when it happened. Its JSON form is one object: "time", "kind", "text", and
// the fields of the event. It is part of the control API: members are added, never renamed.
type Record struct {
	Time  time.Time
	Event Event
}

var (
	_ json.Marshaler   = Record{}
	_ json.Unmarshaler = (*Record)(nil)
)

// head are the members that the records of all events have.
type head struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	Text string    `json:"text"`
}

// MarshalJSON returns one flat object.
func (r Record) MarshalJSON() ([]byte, error) {
	object, err := json.Marshal(head{r.Time, r.Event.Kind(), r.Event.String()})
	if err != nil {
		return nil, err
	}
	fields, err := json.Marshal(r.Event)
	if err != nil {
		return nil, err
	}

	if string(fields) == "{}" {
		return object, nil
	}

	object[len(object)-1] = ','
	return append(object, fields[1:]...), nil
}

// UnmarshalJSON reads what MarshalJSON writes. An event of a kind that this program does not know,
// because a later one has written it, becomes a [Warning] with its text.
func (r *Record) UnmarshalJSON(data []byte) error {
	var h head
	if err := json.Unmarshal(data, &h); err != nil {
		return err
	}

	r.Time = h.Time
	decode, ok := decoders[h.Kind]
	if !ok {
		r.Event = Warning{h.Text}
		return nil
	}

	var err error
	if r.Event, err = decode(data); err != nil {
		return fmt.Errorf("event of the kind %q: %w", h.Kind, err)
	}

	return nil
}

var decoders = map[Kind]func([]byte) (Event, error){
	KindStarted:     decode[Started],
	KindListening:   decode[Listening],
	KindReady:       decode[Ready],
	KindNotReady:    decode[NotReady],
	KindLate:        decode[Late],
	KindSilent:      decode[Silent],
	KindHung:        decode[Hung],
	KindExited:      decode[Exited],
	KindBackoff:     decode[Restarting],
	KindFailed:      decode[Restarting],
	KindDraining:    decode[Draining],
	KindStopped:     decode[Stopped],
	KindTookOver:    decode[TookOver],
	KindUpgrading:   decode[Upgrading],
	KindUpgraded:    decode[Upgraded],
	KindAdopted:     decode[Adopted],
	KindReplaced:    decode[Replaced],
	KindAsked:       decode[Asked],
	KindAnswered:    decode[Answered],
	KindRolledBack:  decode[RolledBack],
	KindAppDraining: decode[AppDraining],
	KindAppStopped:  decode[AppStopped],
	KindWarning:     decode[Warning],
}

func decode[E Event](data []byte) (Event, error) {
	var e E
	err := json.Unmarshal(data, &e)
	return e, err
}
