package discover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Decoder makes a value of data. before is the value that is there, the zero value at first. A value that it
// returns with a [Partial] error is good but for a part.
type Decoder[T any] func(data Data, before T) (T, error)

// ErrAbsent is the error of a [Decoder] that finds nothing to decode.
var ErrAbsent = errors.New("there is nothing under the key")

// Partial is the error of a [Decoder] whose value is good but for some of its entries.
type Partial struct {
	Err error // what is wrong with the others
}

func (p *Partial) Error() string { return p.Err.Error() }

// Unwrap returns p.Err.
func (p *Partial) Unwrap() error { return p.Err }

// partial tells whether an error is of a value that is good but for a part.
func partial(err error) bool {
	p := new(Partial)
	return errors.As(err, &p)
}

// JSON is the [Decoder] of one entry that is a JSON document. It is strict: a member that T does not have, one
// that is there twice, and what follows the document are errors, which say the line and the column.
func JSON[T any](data Data, _ T) (T, error) {
	var value T
	switch len(data.Entries) {
	case 0:
		return value, ErrAbsent
	case 1:
		err := strict(data.Entries[0].Value, &value)
		return value, err
	default:
		return value, fmt.Errorf("%d entries are there in place of one: EachJSON is for a folder", len(data.Entries))
	}
}

// EachJSON is the [Decoder] of a folder of JSON documents, each by its key. An entry that is wrong is refused
// alone: the value has what was good there before, if it was. A folder that is empty, or not there, is a map
// of nothing.
func EachJSON[T any](data Data, before map[string]T) (map[string]T, error) {
	values := make(map[string]T, len(data.Entries))
	var wrong []error
	for _, e := range data.Entries {
		var value T
		err := strict(e.Value, &value)
		if err == nil {
			values[e.Key] = value
			continue
		}

		wrong = append(wrong, fmt.Errorf("%s: %w", e.Key, err))
		if last, ok := before[e.Key]; ok {
			values[e.Key] = last
		}
	}
	if len(wrong) > 0 {
		return values, &Partial{errors.Join(wrong...)}
	}
	return values, nil
}

// strict decodes a JSON document.
func strict(text []byte, into any) error {
	err := unambiguous(text)
	if err != nil {
		return err
	}

	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(into)

	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return fmt.Errorf("%s: %q: %s is no %s", at(text, wrongType.Offset), wrongType.Field, wrongType.Value, wrongType.Type)
	}
	unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	if ok {
		where := max(0, bytes.Index(text, []byte(unknown)))
		return fmt.Errorf("%s: nothing is called %s", at(text, int64(where)), unknown)
	}
	return err
}

// unambiguous returns an error unless a text is one JSON document whose objects have each member once.
func unambiguous(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var open []map[string]bool // of each object or array around: the members so far; nil for an array
	name := false              // the next token is the name of a member

	for first := true; first || len(open) > 0; first = false {
		token, err := d.Token()
		if err != nil {
			return syntax(text, err)
		}

		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
		case string:
			if name {
				members := open[len(open)-1]
				if members[t] {
					return fmt.Errorf("%s: %q is there twice", at(text, d.InputOffset()), t)
				}
				members[t] = true
				name = false
				continue
			}
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}

	_, err := d.Token()
	if err != io.EOF {
		return fmt.Errorf("%s: something follows the document", at(text, d.InputOffset()))
	}
	return nil
}

// syntax returns the error of a text that is no JSON.
func syntax(text []byte, err error) error {
	var wrong *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return errors.New("the text is empty")
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %w", at(text, wrong.Offset), err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the document has no end", at(text, int64(len(text))))
	}
	return err
}

// at returns where a byte of a text is, for people.
func at(text []byte, offset int64) string {
	before := text[:min(max(0, offset), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}
