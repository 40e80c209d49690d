"""Statistics over data seeds: arrays in, dataclasses out; usable without the rest of the analysis.

- rank_correlation.py: Spearman's rho and Kendall's tau-b of a sample, and combined over cells by Fisher's z
- reweighted.py: the same for many bootstrap draws, and without each cluster, at once
- between_methods.py: rank correlation of method means, with a permutation p-value
- cluster_jackknife.py: delete-one-data-seed jackknife of a correlation
- cluster_bootstrap.py: draws of data seeds, percentile and BCa intervals
- estimate.py: an estimate of any kind with its interval by either
- permutation.py: permutation test within cells, with data seeds as blocks
- multiplicity.py: Benjamini-Hochberg and max-T
- power.py: smallest detectable correlation
"""

from analysis.stats.between_methods import BetweenMethods as BetweenMethods
from analysis.stats.between_methods import between_methods as between_methods
from analysis.stats.between_methods import method_means as method_means
from analysis.stats.between_methods import replicate_between as replicate_between
from analysis.stats.cluster_bootstrap import Resamples as Resamples
from analysis.stats.cluster_bootstrap import bca_interval as bca_interval
from analysis.stats.cluster_bootstrap import draw_resamples as draw_resamples
from analysis.stats.cluster_bootstrap import percentile_interval as percentile_interval
from analysis.stats.cluster_jackknife import Jackknife as Jackknife
from analysis.stats.cluster_jackknife import acceleration as acceleration
from analysis.stats.cluster_jackknife import jackknife as jackknife
from analysis.stats.estimate import Estimate as Estimate
from analysis.stats.estimate import bounds as bounds
from analysis.stats.estimate import jackknife_bounds as jackknife_bounds
from analysis.stats.multiplicity import adjust as adjust
from analysis.stats.multiplicity import max_t as max_t
from analysis.stats.permutation import Exchanges as Exchanges
from analysis.stats.permutation import exchanges as exchanges
from analysis.stats.permutation import permutation_p as permutation_p
from analysis.stats.permutation import permuted_z as permuted_z
from analysis.stats.power import minimal_detectable as minimal_detectable
from analysis.stats.power import minimal_detectable_from_error as minimal_detectable_from_error
from analysis.stats.power import minimal_detectable_of as minimal_detectable_of
from analysis.stats.rank_correlation import CombinedCorrelation as CombinedCorrelation
from analysis.stats.rank_correlation import RankCorrelation as RankCorrelation
from analysis.stats.rank_correlation import combine_cells as combine_cells
from analysis.stats.rank_correlation import combine_replicates as combine_replicates
from analysis.stats.rank_correlation import fisher_interval as fisher_interval
from analysis.stats.rank_correlation import rank_correlation as rank_correlation
from analysis.stats.reweighted import deleted_kendall as deleted_kendall
from analysis.stats.reweighted import weighted_midranks as weighted_midranks
from analysis.stats.reweighted import weighted_spearman as weighted_spearman
