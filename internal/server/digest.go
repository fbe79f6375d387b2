package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/divisi-go/divisi/internal/keeper"
)

// Digest returns what tells a specification from others: two of the same digest are served by the same
// process. The sum is that of the content of the program. Labels count: the process that serves it has them.
func Digest(spec keeper.Spec, program string) (string, error) {
	spec.Path = "" // where a program is means nothing, what it is does
	text, err := json.Marshal(spec)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(text, program...))
	return hex.EncodeToString(sum[:16]), nil
}
