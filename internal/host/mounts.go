package host

type mountFacts struct{}
