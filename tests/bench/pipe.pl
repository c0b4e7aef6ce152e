#!/usr/bin/perl
# Reads one DSN from standard input and posts whom it is about: what people put behind Postfix's pipe(8).
use strict;
use warnings;
use HTTP::Tiny;

my ($url) = @ARGV;
my %field;
my $in_report;
while (my $line = <STDIN>) {
    $line =~ s/\r?\n\z//;
    if ($line =~ /^Content-Type:\s*([\w\/-]+)/i) { $in_report = lc $1 eq 'message/delivery-status' }
    elsif ($in_report && $line =~ /^Final-Recipient:\s*rfc822;\s*(\S+)/i) { $field{email} = lc $1 }
    elsif ($in_report && $line =~ /^Status:\s*(\d\.\d+\.\d+)/i) { $field{status} = $1 }
}
exit 0 unless $field{email} && ($field{status} // '') =~ /^5\.1\./;
my $answer = HTTP::Tiny->new(timeout => 10)->post_form($url, { email => $field{email}, optout => 1 });
exit($answer->{success} ? 0 : 75);
