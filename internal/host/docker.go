package host

import "context"

type dockerFacts struct{}

func (h *Host) dockerAnswers(context.Context) error { return nil }
