"""What there is to practise with: a MES that misbehaves on request, and a believable data set."""
