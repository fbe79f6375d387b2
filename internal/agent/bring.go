package agent

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// folder is the beginning of scripts: it finds the state folder as package home does, and ends a script with the first line
// of what a command has said, and the way out.
const folder = `umask 077
d=${DIVISI_HOME:-${XDG_STATE_HOME:-$HOME/.local/state}/divisi}
fail() {
	case $1 in
	*pace\ left*|*uota\ exceeded*) way="make room there";;
	*noexec*) way="mount it otherwise";;
	*) way="let its user write there";;
	esac
	echo "$1: $way, or choose another state folder (DIVISI_HOME)" >&2
	exit 1
}
first() { sed -n '/^[a-z]*: /{p;q;}'; }
`

// enter executes the program of a sum and a name, or says that the machine does not have it, how much of it there is, and what
// machine it is: that of a machine on which the program can be kept and executed.
const enter = folder + `p=$d/cas/sha256-$1/$2
[ -x "$p" ] && [ -s "$p" ] && exec env ` + Variable + `="$1" "$p"
export LC_ALL=C
t=$d/cas/` + arriving + `try-$3
trap 'rm -f "$t"' EXIT
said=$(mkdir -p "$d/cas" 2>&1 && echo '#!/bin/sh' | dd of="$t" 2>&1 && chmod 500 "$t" 2>&1) || fail "$(echo "$said" | first)"
"$t" 2>/dev/null || fail "no program runs in $d, whose file system is mounted noexec"
rm -f "$t"
a=$d/cas/` + arriving + `$1 have=0 gzip=false
[ -f "$a" ] && have=$(wc -c < "$a")
command -v gzip >/dev/null && gzip=true
echo "{\"missing\":\"$(uname -s) $(uname -m)\",\"have\":$have,\"gzip\":$gzip}"`

// arrive takes the program of a sum, a name and a length from a block on, as it is or compressed. What has arrived stays, and
// who sends it at the same time writes the same. Once it is there whole, a copy of it keeps itself.
const arrive = folder + `export LC_ALL=C
a=$d/cas/` + arriving + `$1 t=$d/cas/` + arriving + `$5
trap 'rm -f "$t"' EXIT
said=$($6 2>/dev/null | dd bs=` + blockText + ` seek="$4" conv=notrunc of="$a" 2>&1)
if [ "$(wc -c < "$a")" -lt "$3" ]; then
	said=$(echo "$said" | first)
	[ -z "$said" ] && { echo "the program has not arrived whole" >&2; exit 1; }
	rm -f "$a"
	fail "$said"
fi
said=$(cp "$a" "$t" 2>&1 && chmod 500 "$t" 2>&1) || { rm -f "$a"; fail "$said"; }
` + Variable + `="$1" ` + keepVariable + `="$2" "$t"
code=$?
rm -f "$a"
exit $code`

// block is the unit in bytes in which a program goes on to arrive.
const (
	block     = 1 << 16
	blockText = "65536"
)

// bring sends the program to a machine that has the beginning of it, of some bytes, and knows gzip or not.
func (c *Client) bring(ctx context.Context, have int64, gzip bool) error {
	f, err := os.Open(c.build.file)
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return err
	}
	if bare, ok := c.machine.(Bare); ok {
		err = bare.Arrive(ctx, f, c.build.sum, c.build.name, i.Size())
	} else {
		err = c.send(ctx, f, i.Size(), have, gzip)
	}
	if err != nil {
		return errors.Join(context.Cause(ctx), fmt.Errorf("cannot bring the program there: %w", err))
	}
	return nil
}

// send sends the program by a script, as far as it is not there.
func (c *Client) send(ctx context.Context, f *os.File, size, have int64, gzip bool) error {
	if have < 0 || have > size {
		have = 0
	}
	blocks := have / block
	if _, err := f.Seek(blocks*block, io.SeekStart); err != nil {
		return err
	}

	unpack, in := "cat", io.Reader(f)
	if gzip {
		packed := compressed(f)
		defer packed.Close()
		unpack, in = "gzip -dc", packed
	}
	return c.machine.Run(ctx, in, io.Discard, "sh", "-c", arrive, "divisi", c.build.sum, c.build.name,
		strconv.FormatInt(size, 10), strconv.FormatInt(blocks, 10), rand.Text(), unpack)
}

// compressed returns what a reader has in the form of gzip, in pieces that are not too small for a packet.
func compressed(from io.Reader) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		pieces := bufio.NewWriterSize(w, block)
		z, err := gzip.NewWriterLevel(pieces, gzip.BestSpeed)
		if err == nil {
			_, err = io.Copy(z, from)
			err = errors.Join(err, z.Close(), pieces.Flush())
		}
		w.CloseWithError(err)
	}()
	return r
}
